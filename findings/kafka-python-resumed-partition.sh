#!/usr/bin/env bash
# A partition that was paused with records read and not yet handed out stands still once it is resumed, if another
# partition was read to its end meanwhile: no record of it comes, and no error; position() stays behind end_offsets().
# A consumer without the pause gets all.
# Seen with kafka-python 3.0.12 and a broker of Apache Kafka 4.3.1:
#   without a pause 10 of 10 records; paused and resumed 6 of 10, and position 1 of 5 after 50 more polls
# Wants Java 17 or newer, and Maven.
set -euo pipefail
folder=$(mktemp -d)
broker=""
trap 'if [ -n "$broker" ]; then kill "$broker"; wait "$broker" || true; fi; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kafka-python==3.0.12
cat > "$folder/pom.xml" <<'POM'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.3.1</version></dependency>
  </dependencies>
</project>
POM
mvn --batch-mode --quiet --file "$folder/pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory="$folder/jars"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
control=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > "$folder/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$control
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$control
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
offsets.topic.replication.factor=1
log.dirs=$folder/logs
PROPERTIES
java -cp "$folder/jars/*" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c "$folder/server.properties" > "$folder/format.log" 2>&1
java -Xmx512m -cp "$folder/jars/*" kafka.Kafka "$folder/server.properties" > "$folder/broker.log" 2>&1 &
broker=$!
"$folder/venv/bin/python" - "127.0.0.1:$port" <<'PYTHON'
import sys
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError

address, until = sys.argv[1], time.monotonic() + 120
while True:
    try:
        admin = KafkaAdminClient(bootstrap_servers=address)
        admin.create_topics([NewTopic("images", 2, 1)])
        break
    except KafkaError:
        if time.monotonic() > until:
            raise
        time.sleep(0.5)
producer = KafkaProducer(bootstrap_servers=address)
for number in range(5):
    for partition in (0, 1):
        producer.send("images", b"%d" % number, partition=partition)
producer.flush()
places = [TopicPartition("images", 0), TopicPartition("images", 1)]


def consumer():
    reader = KafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
    reader.assign(places)
    return reader


def taken(reader, count, polls=50, most=500):
    found = {}
    for _ in range(polls):
        for place, records in reader.poll(timeout_ms=100, max_records=min(most, count)).items():
            found[place] = found.get(place, 0) + len(records)
        if sum(found.values()) >= count:
            break
    return found


plain = sum(taken(consumer(), 10).values())
reader = consumer()
[first] = taken(reader, 1)
reader.pause(first)
others = sum(taken(reader, 5).values())
reader.resume(first)
after = sum(taken(reader, 4).values())
position, end = reader.position(first), reader.end_offsets([first])[first]
print(
    f"without a pause {plain} of 10 records; paused and resumed {1 + others + after} of 10, "
    f"and position {position} of {end} after 50 more polls"
)
sys.exit(not (plain == 10 and after == 0 and position < end))
PYTHON
