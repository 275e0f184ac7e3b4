"""What sends the records of a host: never waits, survives every outage, and accounts for each record."""

from ol0.kafka.forks import call_in_children
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import to_message
from ol0.kafka.sending.accounted_producer import AccountedProducer
from ol0.kafka.sending.producer_thread import Account, ProducerThread
from ol0.records import Record


class HostSender:
    """Sends records to their topics, each written once however often librdkafka has to retry.

    A forked child starts over, with an account of its own and a producer that it makes when it has something to send.
    The parent's is never touched there, nor freed, for none of librdkafka's threads is in the child to answer: the
    frame of the thread that owns it went with the fork, and whatever is held by a frame that is never left stays.
    May be used from several threads.

    Raises:
        ConfigError: an option contradicts a guarantee, or librdkafka refuses it.
    """

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage
        lineage.clients.producer()  # a wrong option fails here, not later in the thread
        self._thread = self._new_thread()
        call_in_children(self._start_over)

    @property
    def account(self) -> Account:
        """The account of this process's records."""
        return self._thread.account

    def send(self, record: Record) -> bool:
        """Whether the record is on its way; one that found the queue full is counted.

        Raises:
            ContractError: no reader would take it. Such a record is not counted.
        """
        return self._thread.put(to_message(record, self._lineage.topics, self._lineage.codec))

    def flush(self, timeout_s: float) -> int:
        """Waits until everything is delivered or lost; returns how many records are still on their way."""
        return self._thread.flush(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Sends what is on its way, as far as that is possible within ``timeout_s`` and two seconds."""
        self._thread.close(timeout_s)

    def _start_over(self) -> None:
        self._lineage.clients.notes.clear()
        self._thread = self._new_thread()

    def _new_thread(self) -> ProducerThread:
        clients = self._lineage.clients
        return ProducerThread(AccountedProducer(clients.producer, clients.notes), clients.largest_queue, clients.notes)
