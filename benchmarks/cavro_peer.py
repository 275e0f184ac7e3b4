"""cavro and fastavro on the same record, in the peers' environment."""

import json
import sys

import cavro

from benchmarks.measure import alternate, seconds
from benchmarks.plain import HEADER_BYTES, SCHEMAS, decode
from benchmarks.traffic import decisions
from ol0.wire.codec import Codec

ROUNDS = 21
CALLS = 2_000


def main() -> None:
    """Prints microseconds a call, round by round."""
    payload = Codec().encode(decisions(2)[1])
    body = payload[HEADER_BYTES:]
    schema = cavro.Schema((SCHEMAS / "decision.avsc").read_text(encoding="utf-8"))
    timed = alternate(
        ROUNDS,
        {
            "fastavro": lambda: seconds(lambda: decode(payload), CALLS),
            "cavro": lambda: seconds(lambda: schema.binary_decode(body), CALLS),
        },
    )
    sys.stdout.write(json.dumps({name: [1e6 * one for one in values] for name, values in timed.items()}) + "\n")


if __name__ == "__main__":
    main()
