"""One detection in twenty lines: requests to unpromoted pilots on production hosts. What the bench is held against."""
import sys
from collections import Counter
import msgspec
from confluent_kafka import Consumer

PILOTS = {"claims-summary", "support-answers"}


class Access(msgspec.Struct, rename={"authority": ":authority"}):
    authority: str
    route_name: str | None = None
    response_code: int = 0


brokers, topic, events = sys.argv[1], sys.argv[2], int(sys.argv[3])
consumer = Consumer({"bootstrap.servers": brokers, "group.id": "bench-py", "auto.offset.reset": "earliest"})
consumer.subscribe(topic.split(","))
decode, requests, seen = msgspec.json.Decoder(Access).decode, Counter(), 0
while seen < events:
    for message in consumer.consume(10_000, 1.0):
        seen += 1
        try:
            event = decode(message.value())
        except msgspec.ValidationError:
            continue  # CloudTrail: not looked at
        if event.route_name in PILOTS and event.authority.endswith(".larkfield.example") and event.response_code < 400:
            requests[event.route_name] += 1
print(sorted(requests.items()), flush=True)
sys.stdin.read()  # keeps the process, so that its CPU time can be read
