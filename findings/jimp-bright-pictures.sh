#!/usr/bin/env bash
# jimp's pHash takes bright pictures for one another. It compares 64 frequencies with their mean; a comment in it says
# that the first one, the brightness, is left out of the mean, and it is not. The brighter a picture, the higher the
# mean, and the fewer of the 63 others come over it: around a level of 200 of 255 four bits of 64 are set, and any two
# pictures differ by few. jimp's documentation takes less than 0.15 for alike, and about 0.5 for unrelated.
# Seen with jimp 1.6.1, 100 generated pictures each:
#   around level 64 +- 40: 11 bits set, 10 % of all pairs of different pictures below 0.15
#   around level 128 +- 40: 7 bits set, 59 % of all pairs of different pictures below 0.15
#   around level 200 +- 40: 4 bits set, 99 % of all pairs of different pictures below 0.15
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-fund --no-audit jimp@1.6.1
cat > alike.mjs <<'JAVASCRIPT'
import { compareHashes, Jimp } from "jimp";

const SIZE = 128, COUNT = 100;
let state = 1;
const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;

// A sum of twelve waves of up to four half-periods, stretched to level - contrast .. level + contrast.
function picture(level, contrast) {
  const waves = Array.from({ length: 12 }, () => [
    Math.floor(5 * random()), Math.floor(5 * random()), 2 * Math.PI * random(), random(),
  ]);
  const heights = [];
  for (let y = 0; y < SIZE; y++)
    for (let x = 0; x < SIZE; x++)
      heights.push(waves.reduce(
        (sum, [right, down, phase, weight]) =>
          sum + weight * Math.cos((Math.PI * (right * x + down * y)) / SIZE + phase), 0));
  const most = Math.max(...heights.map(Math.abs));
  const image = new Jimp({ width: SIZE, height: SIZE });
  heights.forEach((height, at) => {
    const grey = Math.round(level + (contrast * height) / most);
    image.bitmap.data.set([grey, grey, grey, 255], 4 * at);
  });
  return image;
}

function shareAlike(level) {
  state = 1;
  const hashes = Array.from({ length: COUNT }, () => picture(level, 40).pHash());
  const bits = hashes.join("").split("1").length - 1;
  let alike = 0;
  for (let one = 0; one < COUNT; one++)
    for (let other = 0; other < one; other++)
      alike += compareHashes(hashes[one], hashes[other]) < 0.15;
  const share = alike / ((COUNT * (COUNT - 1)) / 2);
  console.log(`around level ${level} +- 40: ${Math.round(bits / COUNT)} bits set,`,
    `${Math.round(100 * share)} % of all pairs of different pictures below 0.15`);
  return share;
}

const [dark, middle, bright] = [64, 128, 200].map(shareAlike);
process.exit(dark < 0.2 && middle > 0.4 && bright > 0.9 ? 0 : 1);
JAVASCRIPT
node alike.mjs
