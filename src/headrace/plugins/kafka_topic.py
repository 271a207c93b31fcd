"""One Kafka topic as a group reads it: what was read of it, what of that was given away, what has ended."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

from headrace.core.ports import Clock
from headrace.plugins.kafka_window import Window

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, TopicPartition

WAIT_S = 15.0
ATTEMPT, AT, DUE = "headrace-attempt", "headrace-at-us", "headrace-due-us"
"""Headers: how often it was tried, when it was put, and when it is due; in microseconds since 1970."""
_ARRIVE_S = 5.0
_WINDOW = 1000
"""Messages of a partition that are read before the first of them has ended."""


class Waiting(NamedTuple):
    """A message that was read and is not given away; those that come first are smallest."""

    due_us: int
    at_us: int
    offset: int
    partition: int
    item: str
    attempt: int


class Source:
    """One topic, read in a group: what was read of it, what of that was given away, what has ended."""

    def __init__(self, topic: str, connect: Callable[[str], Consumer]) -> None:
        self.topic = topic
        self.consumer = connect(topic)
        self.joined = False
        self._subscribed = False
        self._lost: set[int] = set()
        self._unsaid: set[int] = set()
        self._assigned: set[int] = set()
        self._windows: dict[int, Window] = {}
        self._next: dict[int, int] = {}
        self._known: dict[int, int] = {}
        self._waiting: list[Waiting] = []

    def join(self) -> None:
        """Become one of those who read it; takes some seconds, while :meth:`read` is called."""
        if not self._subscribed:
            self.consumer.subscribe(
                [self.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )
            self._subscribed = True

    def expect(self, partition: int, stop: int) -> None:
        """Messages before ``stop`` are there."""
        self._known[partition] = max(stop, self._known.get(partition, 0))

    def read(self, clock: Clock) -> None:
        """Read ahead what is there; what is known to be there is waited for."""
        if self._unsaid:
            self.commit(())
        until_s = clock.monotonic_s() + _ARRIVE_S
        while not self._is_wide():
            missing = [p for p in self._windows if self._next[p] < self._known.get(p, 0)]
            message = self.consumer.poll(0.05 if missing else 0)
            for partition in self._assigned - self._windows.keys():
                self._open(partition)
            if message is not None:
                self._keep(message)
            elif not missing:
                return
            elif clock.monotonic_s() > until_s:
                # It was deleted, or the broker is away: not to be waited for each time.
                self._known.update((p, self._next[p]) for p in missing)

    def take(self, now_us: int) -> tuple[Waiting, int] | None:
        """The first that is due, and for the how manieth time it is given away."""
        if not self._waiting or self._waiting[0].due_us > now_us:
            return None
        found = heapq.heappop(self._waiting)
        return found, found.attempt + self._windows[found.partition].give(found.offset)

    def put_back(self, taken: Waiting) -> None:
        """It was not given away after all."""
        window = self._windows.get(taken.partition)
        if window is not None:
            window.take_back(taken.offset)
            heapq.heappush(self._waiting, taken)

    def end(self, partition: int, offset: int) -> None:
        """It never comes again."""
        window = self._windows.get(partition)
        if window is not None:
            window.end(offset)
            self.commit([partition])

    def commit(self, partitions: Collection[int]) -> bool:
        """Keep what is known of these partitions; durable when it is true. It is not while partitions move:
        what could not be said then is said by the next commit, if they are still this one's."""
        from confluent_kafka import KafkaError, KafkaException

        self._unsaid = {p for p in self._unsaid | set(partitions) if p in self._windows}
        if self._unsaid:
            try:
                commit(self.consumer, self.topic, {p: self._windows[p] for p in self._unsaid})
            except KafkaException as error:
                moving = (
                    KafkaError.REBALANCE_IN_PROGRESS,
                    KafkaError.ILLEGAL_GENERATION,
                    KafkaError.UNKNOWN_MEMBER_ID,
                )
                if error.args[0].code() not in moving:
                    raise
                return False
            self._unsaid = set()
        return True

    def dropped(self) -> set[int]:
        """Partitions taken away since this was asked last: what was given away of them is another's."""
        lost, self._lost = self._lost, set()
        return lost

    def _is_wide(self) -> bool:
        return any(self._next[p] - window.low >= _WINDOW for p, window in self._windows.items())

    def _open(self, partition: int) -> None:
        low, high, window = look(self.consumer, self.topic, partition)
        self._windows[partition] = window
        self._next[partition] = max(window.low, low)
        self.expect(partition, high)

    def _keep(self, message: Message) -> None:
        if message.error() is not None:
            from confluent_kafka import KafkaException

            raise KafkaException(message.error())
        partition, offset = message.partition(), message.offset()
        if partition is None or offset is None or partition not in self._windows:
            return
        window = self._windows[partition]
        for passed in range(max(window.low, self._next[partition]), offset):
            window.end(passed)  # deleted by the broker, or no message
        if offset < self._next[partition]:
            return
        self._next[partition] = offset + 1
        if not window.has_ended(offset):
            kept = numbers(message)
            item = (message.value() or b"").decode()
            heapq.heappush(
                self._waiting,
                Waiting(kept.get(DUE, 0), kept.get(AT, 0), offset, partition, item, kept.get(ATTEMPT, 0)),
            )

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self.joined = True
        self._assigned |= {one.partition for one in partitions}

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {one.partition for one in partitions}
        self._assigned -= gone
        self._lost |= gone
        for partition in gone:
            self._windows.pop(partition, None)
            self._next.pop(partition, None)
        self._waiting = [one for one in self._waiting if one.partition not in gone]
        heapq.heapify(self._waiting)


def look(consumer: Consumer, topic: str, partition: int) -> tuple[int, int, Window]:
    """The first offset that is there, the one after the last, and what the group knows of those between."""
    from confluent_kafka import TopicPartition

    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), WAIT_S)
    (kept,) = consumer.committed([TopicPartition(topic, partition)], WAIT_S)
    return low, high, Window(kept.offset, kept.metadata or "") if kept.offset >= 0 else Window(low)


def commit(consumer: Consumer, topic: str, windows: Mapping[int, Window]) -> None:
    """Keep what is known of partitions; durable when it returns."""
    from confluent_kafka import KafkaException, TopicPartition

    offsets = [TopicPartition(topic, p, window.low, window.text()) for p, window in windows.items()]
    for done in consumer.commit(offsets=offsets, asynchronous=False) or ():
        if done.error is not None:
            raise KafkaException(done.error)


def numbers(message: Message) -> dict[str, int]:
    """The numbers in a message's headers; what others put there is none of ours."""
    found = {}
    for name, value in cast(list[tuple[str, bytes | None]], message.headers() or []):
        if name in (ATTEMPT, AT, DUE) and value is not None and value.isdigit():
            found[name] = int(value)
    return found
