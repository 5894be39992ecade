#!/usr/bin/env bash
# To JImageHash a grey picture in a grey file is another picture than the same values in a colour file. It asks Java for
# the colours of each pixel, and Java takes the values of a grey file for linear light and brightens them: 128 becomes
# 188. So scans, night cameras, and what optimises PNGs by making grey colour files grey, give near-duplicates that it
# does not see: 11 of 64 bits of its perceptive hash differ, where JPEG at Java's usual quality changes one.
# Seen with JImageHash 1.0.0 on Java 17, shares of bits that differ, of 50 generated pictures:
#   PerceptiveHash: 17.1 % by the kind of file, 1.4 % by JPEG
#   RotPHash: 12.5 % by the kind of file, 2.1 % by JPEG
#   AverageHash: 4.7 % by the kind of file, 0.5 % by JPEG
#   DifferenceHash: 0.5 % by the kind of file, 0.6 % by JPEG
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for jar in \
  dev/brachtendorf/JImageHash/1.0.0/JImageHash-1.0.0 \
  dev/brachtendorf/UtilityCode/2.0.1/UtilityCode-2.0.1 \
  com/github/wendykierp/JTransforms/3.1/JTransforms-3.1-with-dependencies \
  org/openjfx/javafx-base/11.0.2/javafx-base-11.0.2-linux \
  org/openjfx/javafx-graphics/11.0.2/javafx-graphics-11.0.2-linux \
  org/openjfx/javafx-swing/11.0.2/javafx-swing-11.0.2-linux; do
  curl --fail --silent --show-error --remote-name "https://repo1.maven.org/maven2/$jar.jar"
done
cat > Grey.java <<'JAVA'
import dev.brachtendorf.jimagehash.hashAlgorithms.AverageHash;
import dev.brachtendorf.jimagehash.hashAlgorithms.DifferenceHash;
import dev.brachtendorf.jimagehash.hashAlgorithms.HashingAlgorithm;
import dev.brachtendorf.jimagehash.hashAlgorithms.PerceptiveHash;
import dev.brachtendorf.jimagehash.hashAlgorithms.RotPHash;
import java.awt.image.BufferedImage;
import java.io.File;
import java.util.Random;
import javax.imageio.ImageIO;

public class Grey {
  static final int SIZE = 128, COUNT = 50;

  /** A sum of twelve waves, as levels from 0 to 255. */
  static int[][] picture(Random random) {
    double[][] heights = new double[SIZE][SIZE];
    for (int wave = 0; wave < 12; wave++) {
      int right = random.nextInt(5), down = random.nextInt(5);
      double phase = 2 * Math.PI * random.nextDouble(), weight = random.nextDouble();
      for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++)
          heights[y][x] += weight * Math.cos(Math.PI * (right * x + down * y) / SIZE + phase);
    }
    double most = 0;
    for (double[] row : heights) for (double height : row) most = Math.max(most, Math.abs(height));
    int[][] levels = new int[SIZE][SIZE];
    for (int y = 0; y < SIZE; y++)
      for (int x = 0; x < SIZE; x++) levels[y][x] = (int) Math.round(127.5 + 127.5 * heights[y][x] / most);
    return levels;
  }

  static BufferedImage stored(int[][] levels, int type, String format) throws Exception {
    BufferedImage image = new BufferedImage(SIZE, SIZE, type);
    for (int y = 0; y < SIZE; y++)
      for (int x = 0; x < SIZE; x++)
        for (int band = 0; band < image.getRaster().getNumBands(); band++)
          image.getRaster().setSample(x, y, band, levels[y][x]);
    File file = new File("picture." + format);
    ImageIO.write(image, format, file);
    BufferedImage read = ImageIO.read(file);
    if (format.equals("png"))
      for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++)
          for (int band = 0; band < read.getRaster().getNumBands(); band++)
            if (read.getRaster().getSample(x, y, band) != levels[y][x]) throw new AssertionError("other values");
    return read;
  }

  static double[] shares(HashingAlgorithm algorithm) throws Exception {
    Random random = new Random(0);
    double byKind = 0, byJpeg = 0;
    for (int number = 0; number < COUNT; number++) {
      int[][] levels = picture(random);
      var colour = algorithm.hash(stored(levels, BufferedImage.TYPE_INT_RGB, "png"));
      byKind += colour.normalizedHammingDistance(algorithm.hash(stored(levels, BufferedImage.TYPE_BYTE_GRAY, "png")));
      byJpeg += colour.normalizedHammingDistance(algorithm.hash(stored(levels, BufferedImage.TYPE_INT_RGB, "jpg")));
    }
    System.out.printf("%s: %.1f %% by the kind of file, %.1f %% by JPEG%n", algorithm.getClass().getSimpleName(),
        100 * byKind / COUNT, 100 * byJpeg / COUNT);
    return new double[] {byKind / COUNT, byJpeg / COUNT};
  }

  public static void main(String[] arguments) throws Exception {
    double[] perceptive = shares(new PerceptiveHash(64)), turned = shares(new RotPHash(64));
    shares(new AverageHash(64));
    shares(new DifferenceHash(64, DifferenceHash.Precision.Simple));
    System.exit(perceptive[0] > 0.05 && perceptive[1] < 0.02 && turned[0] > 0.1 ? 0 : 1);
  }
}
JAVA
java -cp '*' Grey.java
