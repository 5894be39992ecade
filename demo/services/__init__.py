"""Finds or starts a real Kafka and Redis, for the demo and the tests; finds a browser and tools of charts for these.

`open_kafka` and `open_redis` give an address that answers, whoever runs the server. `KafkaServer` and
`RedisServer` are servers of our own, which a test may kill and start again.
"""

from demo.services.chart_tools import Kubeconform, find_helm, find_kubeconform
from demo.services.chromium import find_chromium
from demo.services.errors import ServiceFailed, ServiceUnavailable
from demo.services.kafka import KafkaServer, open_kafka
from demo.services.kafka_program import KafkaProgram, find_kafka_program
from demo.services.process import Server
from demo.services.prometheus import PrometheusProgram, PrometheusServer, find_prometheus_program
from demo.services.redis import RedisServer, open_redis
from demo.services.redis_program import RedisProgram, find_redis_program

__all__ = [
    "KafkaProgram",
    "KafkaServer",
    "Kubeconform",
    "PrometheusProgram",
    "PrometheusServer",
    "RedisProgram",
    "RedisServer",
    "Server",
    "ServiceFailed",
    "ServiceUnavailable",
    "find_chromium",
    "find_helm",
    "find_kafka_program",
    "find_kubeconform",
    "find_prometheus_program",
    "find_redis_program",
    "open_kafka",
    "open_redis",
]
