"""The tables of the PostgreSQL store, and its steps. A step is one statement, and so one transaction.

Every step that changes what waits in a conversation, or who has it in hand, writes the conversation's row, and all of
them run at the isolation level REPEATABLE READ. So a step that has seen an older state of its conversation, in whatever
table, fails with 40001 when it comes to that row, and is run again: within one statement, what was read is what is.

A holder is a process. It has what it holds for as long as its row in `processes` says that it is alive. Tokens come
from one sequence and are never given twice. A `request` is a number that was drawn for one call: it tells whose lease
it is when the answer to that call got lost.
"""

from __future__ import annotations

import functools

from bot.stores.desk import MOST_SHOWN, MOST_WAITING
from bot.tracker import RECENT_EVENTS

FORMAT = 1
"""Of the tables. One more when an earlier Frontdesk could not use them."""

TABLES = {
    # One row: what the tables are like, and the mark of the encryption keys.
    "format": "CREATE TABLE format (version integer NOT NULL, mark bytea)",
    # Every running process writes here about once a second.
    "processes": "CREATE TABLE processes (process text PRIMARY KEY, alive_until timestamptz NOT NULL)",
    # `version` is another after each commit. Before `begins_at` a turn does not begin: more may come. Until
    # `told_until` a worker has the time to claim what it was told of.
    "conversations": """CREATE TABLE conversations (
        conversation_id text COLLATE "C" PRIMARY KEY,
        event_count bigint NOT NULL DEFAULT 0,
        version bigint NOT NULL DEFAULT 0,
        snapshot bytea,
        token bigint NOT NULL DEFAULT 0,
        holder text,
        request bigint,
        begins_at timestamptz NOT NULL DEFAULT now(),
        told_until timestamptz NOT NULL DEFAULT now(),
        stored_at timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 80)""",
    # `body` holds the events after the first `start_count` ones, up to `end_count`, as a JSON array.
    "turns": """CREATE TABLE turns (
        conversation_id text COLLATE "C" NOT NULL,
        start_count bigint NOT NULL,
        end_count bigint NOT NULL,
        version bigint NOT NULL,
        body bytea NOT NULL,
        PRIMARY KEY (conversation_id, end_count)
    )""",
    # Accepted and not yet answered; `asked_by` are processes in which somebody waits for the answer.
    "inbox": """CREATE TABLE inbox (
        position bigint PRIMARY KEY,
        conversation_id text COLLATE "C" NOT NULL,
        message_id text NOT NULL,
        request bigint NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        remember_until timestamptz NOT NULL,
        asked_by text[] NOT NULL DEFAULT '{}',
        body bytea NOT NULL,
        UNIQUE (conversation_id, message_id)
    )""",
    # Messages that come again are known by it. `end_count` is that of the turn whose replies are the answer.
    "answered": """CREATE TABLE answered (
        conversation_id text COLLATE "C" NOT NULL,
        message_id text NOT NULL,
        remember_until timestamptz NOT NULL,
        end_count bigint,
        PRIMARY KEY (conversation_id, message_id)
    )""",
    # Who asked for the right to a conversation. Positions of tickets and of the inbox are of one sequence.
    "tickets": """CREATE TABLE tickets (
        position bigint PRIMARY KEY,
        conversation_id text COLLATE "C" NOT NULL,
        process text NOT NULL,
        request bigint NOT NULL
    )""",
    # One row for each conversation with replies that are to be delivered.
    "outboxes": """CREATE TABLE outboxes (
        conversation_id text COLLATE "C" PRIMARY KEY,
        sends_at timestamptz NOT NULL,
        told_until timestamptz NOT NULL DEFAULT now(),
        token bigint NOT NULL DEFAULT 0,
        holder text,
        request bigint
    )""",
    "outbox": """CREATE TABLE outbox (
        position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        conversation_id text COLLATE "C" NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        body bytea NOT NULL
    )""",
    "timers": """CREATE TABLE timers (
        conversation_id text COLLATE "C" NOT NULL,
        name text NOT NULL,
        due timestamptz NOT NULL,
        message_id text NOT NULL,
        body bytea NOT NULL,
        PRIMARY KEY (conversation_id, name)
    )""",
    # Dead letters: messages (with their `message_id`) and deliveries.
    "letters": """CREATE TABLE letters (
        letter bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        conversation_id text COLLATE "C" NOT NULL,
        reason text NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        message_id text,
        attempts integer NOT NULL DEFAULT 0,
        body bytea NOT NULL
    )""",
    # Committed turns for the event broker, with a copy of their body: a turn's own may be replaced.
    "feed": """CREATE TABLE feed (
        position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        conversation_id text COLLATE "C" NOT NULL,
        start_count bigint NOT NULL,
        body bytea NOT NULL
    )""",
    # One row: the process that reads the feed.
    "feeder": "CREATE TABLE feeder (holder text, reads_until timestamptz NOT NULL DEFAULT now())",
}
FURTHER = (
    "CREATE SEQUENCE tokens",
    "CREATE SEQUENCE positions",
    "CREATE INDEX tickets_in_order ON tickets (conversation_id, position)",
    "CREATE INDEX outbox_in_order ON outbox (conversation_id, position)",
    "CREATE INDEX timers_by_time ON timers (due)",
    "CREATE INDEX letters_of_conversation ON letters (conversation_id)",
    # Small, since what was remembered at about the same time lies together.
    "CREATE INDEX answered_by_time ON answered USING brin (remember_until)",
    "CREATE INDEX feed_of_conversation ON feed (conversation_id)",
    "INSERT INTO feeder DEFAULT VALUES",
)

# ---- what the steps have in common ---------------------------------------------------------------

_HELD = """EXISTS (
            SELECT FROM conversations h JOIN processes p ON p.process = h.holder AND p.alive_until > now()
            WHERE h.conversation_id = :id
        )"""
_OLDEST = "(SELECT min(o.position + 0) FROM inbox o WHERE o.conversation_id = :id)"
"""`+ 0`: so that a plan made when little waited does not read the whole inbox in its order to find this."""


def _ticket(condition: str = "true") -> str:
    """Of those who asked for the conversation and still live, the first."""
    return f"""
    SELECT t.position, t.process, t.request FROM tickets t JOIN processes p USING (process)
    WHERE t.conversation_id = :id AND p.alive_until > now() AND {condition}
    ORDER BY t.position LIMIT 1"""


_FREE = f"NOT {_HELD} AND NOT EXISTS ({_ticket()})"
_FOR_RESUME = f"""step.version,
    CASE WHEN step.version <> :known THEN step.snapshot END AS snapshot,
    CASE WHEN step.version <> :known THEN ARRAY(
        SELECT t.body FROM turns t
        WHERE t.conversation_id = :id AND t.end_count > step.event_count - {RECENT_EVENTS} ORDER BY t.end_count
    ) END AS turns"""
"""What a tracker is made of, unless `:known` says that it is known."""
_WAITING = f"""ARRAY(
        SELECT i.body FROM inbox i WHERE i.conversation_id = :id ORDER BY i.position + 0 LIMIT {MOST_SHOWN}
    ) AS messages,
    (SELECT i.attempts FROM inbox i WHERE i.position = {_OLDEST}) AS attempts"""
_NOT_ON_DISK = "set_config('synchronous_commit', 'off', true)"
"""In a step that need not outlive a crash of the server: it does not wait for the disk."""
_RESTS = "extract(epoch FROM step.begins_at - now()) AS rests"
"""The seconds until a turn may begin."""

# ---- the inbox -----------------------------------------------------------------------------------

PUT = f"""
WITH known AS (
    SELECT
        (SELECT request FROM inbox WHERE conversation_id = :id AND message_id = :message) AS request,
        (SELECT count(*) FROM inbox WHERE conversation_id = :id) AS waiting,
        EXISTS (
            SELECT FROM answered WHERE conversation_id = :id AND message_id = :message AND remember_until > now()
        ) AS is_answered,
        {_FREE} AS is_free
), step AS (
    INSERT INTO conversations AS c (conversation_id, token, holder, request, begins_at)
    SELECT :id, nextval('tokens'), CASE WHEN :takes AND is_free THEN :me END, :request,
        now() + make_interval(secs => :wait)
    FROM known WHERE request IS NULL AND NOT is_answered AND waiting < {MOST_WAITING}
    ON CONFLICT (conversation_id) DO UPDATE SET
        token = CASE WHEN EXCLUDED.holder IS NULL THEN c.token ELSE EXCLUDED.token END,
        request = CASE WHEN EXCLUDED.holder IS NULL THEN c.request ELSE EXCLUDED.request END,
        holder = coalesce(EXCLUDED.holder, c.holder),
        told_until = CASE WHEN EXCLUDED.holder IS NULL THEN c.told_until ELSE now() END,
        begins_at = CASE WHEN :wait > 0 THEN EXCLUDED.begins_at ELSE c.begins_at END
    RETURNING c.*, (c.holder = :me AND c.request = :request) IS TRUE AS is_taken
), put AS (
    INSERT INTO inbox (position, conversation_id, message_id, request, attempts, remember_until, asked_by, body)
    SELECT nextval('positions'), :id, :message, :request, CASE WHEN is_taken AND waiting = 0 THEN 1 ELSE 0 END,
        now() + make_interval(secs => :remember), CASE WHEN :is_asked THEN ARRAY[:me] ELSE '{{}}' END, :body
    FROM step, known
), begun AS (
    UPDATE inbox i SET attempts = i.attempts + 1 FROM step WHERE is_taken AND i.position = {_OLDEST}
), asked AS (
    UPDATE inbox i SET asked_by = i.asked_by || CAST(:me AS text) FROM known
    WHERE :is_asked AND known.request IS NOT NULL AND i.conversation_id = :id AND i.message_id = :message
        AND NOT CAST(:me AS text) = ANY (i.asked_by)
)
SELECT known.request AS same, known.is_answered, known.waiting, known.is_free, step.is_taken, step.holder, step.token,
    {_RESTS}, {_FOR_RESUME}, {_WAITING}
FROM known LEFT JOIN step ON true
"""
"""Accept a message, and begin its turn where one `:takes` it and the conversation is free."""

_CLAIMABLE = f"""c.conversation_id = :id AND c.begins_at <= now() AND {_OLDEST} IS NOT NULL
        AND NOT {_HELD} AND NOT EXISTS ({_ticket(f"t.position < {_OLDEST}")})"""

TELL_INBOX = f"""
UPDATE conversations c SET told_until = now() + make_interval(secs => :seconds)
WHERE c.told_until <= now() AND {_CLAIMABLE} RETURNING {_NOT_ON_DISK}
"""
"""A worker is told of a conversation, and no other one for so many seconds."""

TAKE = f"""
WITH step AS (
    UPDATE conversations c SET token = nextval('tokens'), holder = :me, request = :request, told_until = now()
    WHERE {_CLAIMABLE} RETURNING c.*
), begun AS (
    UPDATE inbox i SET attempts = i.attempts + 1 FROM step WHERE i.position = {_OLDEST}
)
SELECT {_NOT_ON_DISK}, step.token, {_FOR_RESUME}, {_WAITING} FROM step
"""

ARRIVED = """
SELECT EXISTS (
    SELECT FROM inbox WHERE conversation_id = :id AND message_id <> ALL (CAST(:messages AS text[]))
) AS is_there
"""

PENDING = "SELECT conversation_id, body FROM inbox ORDER BY position"

FIRE = f"""
WITH fired AS (
    DELETE FROM timers WHERE conversation_id = :id AND name = :name AND due <= now() RETURNING message_id, body
), step AS (
    INSERT INTO conversations AS c (conversation_id) SELECT :id FROM fired
    ON CONFLICT (conversation_id) DO UPDATE SET token = c.token RETURNING c.begins_at, c.holder
), put AS (
    INSERT INTO inbox (position, conversation_id, message_id, request, remember_until, body)
    SELECT nextval('positions'), :id, message_id, :request, now() + make_interval(secs => :remember), body
    FROM fired, step WHERE NOT EXISTS (
        SELECT FROM answered a
        WHERE a.conversation_id = :id AND a.message_id = fired.message_id AND a.remember_until > now()
    )
    ON CONFLICT (conversation_id, message_id) DO NOTHING
)
SELECT {_FREE} AS is_free, step.holder, {_RESTS} FROM step
"""
"""A timer that is due, once: its message comes into the inbox."""

# ---- the turn ------------------------------------------------------------------------------------

ASK = f"""
WITH known AS (SELECT {_FREE} AS is_free), step AS (
    INSERT INTO conversations AS c (conversation_id, token, holder, request)
    SELECT :id, nextval('tokens'), CASE WHEN is_free THEN :me END, :request FROM known
    ON CONFLICT (conversation_id) DO UPDATE SET
        token = CASE WHEN EXCLUDED.holder IS NULL THEN c.token ELSE EXCLUDED.token END,
        request = CASE WHEN EXCLUDED.holder IS NULL THEN c.request ELSE EXCLUDED.request END,
        holder = coalesce(EXCLUDED.holder, c.holder),
        told_until = CASE WHEN EXCLUDED.holder IS NULL THEN c.told_until ELSE now() END
    RETURNING c.*
), ticket AS (
    INSERT INTO tickets (position, conversation_id, process, request)
    SELECT nextval('positions'), :id, :me, :request FROM known, step WHERE NOT is_free
)
SELECT known.is_free, step.token, {_FOR_RESUME} FROM known, step
"""
"""The right to a conversation: at once where it is free, else there is a ticket for it."""

GRANTED = f"""
WITH step AS (
    SELECT * FROM conversations WHERE conversation_id = :id AND holder = :me AND request = :request
)
SELECT step.token, {_FOR_RESUME} FROM step
"""
"""The lease that was given to a ticket."""

GRANT = f"""
WITH ticket AS ({_ticket()}), step AS (
    INSERT INTO conversations AS c (conversation_id, token, holder, request)
    SELECT :id, nextval('tokens'), process, request FROM ticket WHERE NOT {_HELD}
    ON CONFLICT (conversation_id) DO UPDATE SET
        token = EXCLUDED.token, holder = EXCLUDED.holder, request = EXCLUDED.request
    RETURNING c.holder, c.request
), gone AS (
    DELETE FROM tickets t USING step, ticket WHERE t.position = ticket.position
)
SELECT holder, request FROM step
"""
"""Give a conversation that nobody has to whoever asked for it first."""

_BEFORE_OLDEST = f"""t.request <> :request AND (
        {_OLDEST} IS NULL OR t.position < {_OLDEST}
        OR (SELECT begins_at > now() FROM conversations WHERE conversation_id = :id)
    )"""
RELEASE = f"""
WITH mine AS (
    SELECT conversation_id FROM conversations WHERE conversation_id = :id AND holder = :me AND request = :request
), ticket AS ({_ticket(_BEFORE_OLDEST)}), step AS (
    UPDATE conversations c SET
        holder = ticket.process, request = ticket.request,
        token = CASE WHEN ticket.position IS NULL THEN c.token ELSE nextval('tokens') END,
        told_until = now()
    FROM mine LEFT JOIN ticket ON true WHERE c.conversation_id = mine.conversation_id
    RETURNING c.holder, c.request, c.begins_at, ticket.position
), gone AS (
    DELETE FROM tickets t USING step WHERE t.position = step.position
), withdrawn AS (
    DELETE FROM tickets t WHERE t.conversation_id = :id AND t.process = :me AND t.request = :request
), unbegun AS (
    UPDATE inbox i SET attempts = i.attempts - 1 FROM step WHERE :is_unbegun AND i.position = {_OLDEST}
)
SELECT {_NOT_ON_DISK}, step.holder, step.request, {_RESTS}, {_OLDEST} IS NOT NULL AS waits FROM step
"""
"""Whatever a request has, or has asked for, is given back, and passed on to whoever asked before the next message."""

_BEFORE_FIRST = """:ends AND (
        (SELECT position FROM first) IS NULL OR t.position < (SELECT position FROM first)
        OR (SELECT begins_at > now() FROM mine)
    )"""
_STORE = f"""
WITH mine AS (
    SELECT c.conversation_id, c.begins_at FROM conversations c
    WHERE c.conversation_id = :id AND c.holder = :me AND c.token = :token AND {{condition}}
        AND NOT EXISTS (
            SELECT FROM answered a
            WHERE a.conversation_id = :id AND a.message_id = ANY (:messages) AND a.remember_until > now()
        )
), rest AS (
    SELECT i.position, i.body, i.attempts FROM inbox i
    WHERE i.conversation_id = :id AND i.message_id <> ALL (:messages)
    ORDER BY i.position + 0 LIMIT {MOST_SHOWN}
), first AS (
    SELECT min(rest.position) AS position FROM rest
), ticket AS ({_ticket(_BEFORE_FIRST)}), fate AS (
    SELECT mine.conversation_id, ticket.position, ticket.process, ticket.request, CASE
        WHEN NOT :ends THEN 'kept'
        WHEN ticket.position IS NOT NULL THEN 'granted'
        WHEN first.position IS NOT NULL AND mine.begins_at <= now() THEN 'next'
        ELSE 'free' END AS fate
    FROM mine CROSS JOIN first LEFT JOIN ticket ON true
), step AS (
    UPDATE conversations c SET
        event_count = :end, version = :version, snapshot = :snapshot, stored_at = now(),
        holder = CASE fate WHEN 'granted' THEN fate.process WHEN 'free' THEN NULL ELSE c.holder END,
        request = CASE fate WHEN 'granted' THEN fate.request WHEN 'next' THEN :next ELSE c.request END,
        token = CASE WHEN fate IN ('granted', 'next') THEN nextval('tokens') ELSE c.token END
    FROM fate WHERE c.conversation_id = fate.conversation_id
    RETURNING c.token, c.holder, c.request, c.begins_at, fate.fate, fate.position
), gone AS (
    DELETE FROM tickets t USING step WHERE t.position = step.position
), stored AS (
    INSERT INTO turns AS t (conversation_id, start_count, end_count, version, body)
    SELECT :id, :start, :end, :version, :body FROM step WHERE CAST(:start AS bigint) < :end
    ON CONFLICT (conversation_id, end_count) DO UPDATE SET
        start_count = EXCLUDED.start_count, version = EXCLUDED.version, body = EXCLUDED.body
), consumed AS (
    DELETE FROM inbox i USING step WHERE i.conversation_id = :id AND i.message_id = ANY (:messages)
    RETURNING i.message_id, i.remember_until, i.asked_by, i.body, i.position
), remembered AS (
    INSERT INTO answered AS a (conversation_id, message_id, remember_until, end_count)
    SELECT :id, m.message_id, coalesce(consumed.remember_until, now() + make_interval(secs => :remember)),
        CASE WHEN CAST(:start AS bigint) < :end AND m.message_id = :last_message THEN CAST(:end AS bigint) END
    FROM step, unnest(:messages) AS m (message_id) LEFT JOIN consumed USING (message_id)
    ON CONFLICT (conversation_id, message_id) DO UPDATE SET
        remember_until = EXCLUDED.remember_until, end_count = EXCLUDED.end_count
), begun AS (
    UPDATE inbox i SET attempts = i.attempts + 1 FROM step
    WHERE step.fate = 'next' AND i.position = (SELECT first.position FROM first)
){{parts}}
SELECT step.fate, step.token, step.holder, step.request, {_RESTS},
    ARRAY(SELECT rest.body FROM rest ORDER BY rest.position) AS messages,
    (SELECT rest.attempts FROM rest ORDER BY rest.position LIMIT 1) AS attempts,
    (SELECT json_agg(json_build_array(message_id, asked_by)) FROM consumed) AS consumed,
    (SELECT holder FROM feeder) AS feeder
FROM step
"""
_PARTS = {
    "replaces": """, replaced AS (
    DELETE FROM turns t USING step WHERE t.conversation_id = :id AND t.end_count <> :end
), silent AS (
    UPDATE answered a SET end_count = NULL FROM step
    WHERE a.conversation_id = :id AND a.message_id <> ALL (:messages)
)""",
    "feeds": """, fed AS (
    INSERT INTO feed (conversation_id, start_count, body) SELECT :id, :start, :body FROM step
)""",
    "sets_aside": """, set_aside AS (
    INSERT INTO letters (conversation_id, reason, message_id, body)
    SELECT :id, :reason, message_id, body FROM consumed ORDER BY position
)""",
    "sends": """, box AS (
    INSERT INTO outboxes AS b (conversation_id, sends_at) SELECT :id, now() FROM step
    ON CONFLICT (conversation_id) DO UPDATE SET sends_at = b.sends_at
), sent AS (
    INSERT INTO outbox (conversation_id, body)
    SELECT :id, d.body FROM step, unnest(CAST(:deliveries AS bytea[])) WITH ORDINALITY AS d (body, number)
    ORDER BY d.number
)""",
    "times": """, cancelled AS (
    DELETE FROM timers t USING step WHERE t.conversation_id = :id AND t.name = ANY (:cancelled)
), timed AS (
    INSERT INTO timers (conversation_id, name, due, message_id, body)
    SELECT :id, t.name, to_timestamp(t.due), t.message_id, t.body FROM step, unnest(
        CAST(:timers AS text[]), CAST(:dues AS float8[]),
        CAST(:timer_messages AS text[]), CAST(:timer_bodies AS bytea[])
    ) AS t (name, due, message_id, body)
    ON CONFLICT (conversation_id, name) DO UPDATE SET
        due = EXCLUDED.due, message_id = EXCLUDED.message_id, body = EXCLUDED.body
)""",
}


@functools.cache
def store(*parts: str) -> str:
    """Store a turn under the lease. Where that `:ends` with it, the conversation goes on to whoever asked, or to the
    next message, whichever came first.

    The parts say what there is besides: `replaces` all that there was, `feeds` the event broker, `sets_aside` the
    messages, `sends` deliveries, `times` messages that are due later.
    """
    condition = "true" if "replaces" in parts else "c.event_count = :start"
    return _STORE.format(condition=condition, parts="".join(_PARTS[part] for part in parts))


STORED = f"""
SELECT c.event_count, c.token, (c.holder = :me AND c.request = :next) IS TRUE AS goes_on,
    c.version = :version OR EXISTS (
        SELECT FROM turns t WHERE t.conversation_id = :id AND t.end_count = :end AND t.version = :version
    ) AS is_stored,
    (
        SELECT a.message_id FROM answered a WHERE a.conversation_id = :id
            AND a.message_id = ANY (:messages) AND a.remember_until > now() LIMIT 1
    ) AS is_answered,
    {_WAITING}
FROM conversations c WHERE c.conversation_id = :id
"""
"""Why a commit did nothing: because it had been done, and its answer got lost, or what else."""

# ---- the outbox ----------------------------------------------------------------------------------

_CLAIMABLE_OUTBOX = """b.conversation_id = :id AND b.sends_at <= now()
        AND NOT EXISTS (SELECT FROM processes p WHERE p.process = b.holder AND p.alive_until > now())"""

TELL_OUTBOX = f"""
UPDATE outboxes b SET told_until = now() + make_interval(secs => :seconds)
WHERE b.told_until <= now() AND {_CLAIMABLE_OUTBOX} RETURNING {_NOT_ON_DISK}
"""

TAKE_OUTBOX = f"""
WITH step AS (
    UPDATE outboxes b SET token = nextval('tokens'), holder = :me, request = :request, told_until = now()
    WHERE {_CLAIMABLE_OUTBOX} RETURNING b.token
)
SELECT {_NOT_ON_DISK}, step.token, o.position, o.attempts, o.body FROM step, outbox o
WHERE o.conversation_id = :id ORDER BY o.position LIMIT {MOST_SHOWN}
"""

STRIKE = f"""
WITH mine AS (
    SELECT token FROM outboxes WHERE conversation_id = :id AND holder = :me AND token = :token
), struck AS (
    DELETE FROM outbox o USING mine WHERE o.conversation_id = :id AND o.position = :position
    RETURNING o.attempts, o.body
), letter AS (
    INSERT INTO letters (conversation_id, reason, attempts, body)
    SELECT :id, :reason, attempts, body FROM struck WHERE CAST(:reason AS text) IS NOT NULL
), rest AS (
    SELECT o.position, o.attempts, o.body FROM outbox o WHERE o.conversation_id = :id AND o.position > :position
    ORDER BY o.position LIMIT {MOST_SHOWN}
), kept AS (
    UPDATE outboxes b SET sends_at = b.sends_at FROM mine
    WHERE b.conversation_id = :id AND EXISTS (SELECT FROM rest)
), ended AS (
    DELETE FROM outboxes b USING mine WHERE b.conversation_id = :id AND NOT EXISTS (SELECT FROM rest)
)
SELECT rest.position, rest.attempts, rest.body FROM mine LEFT JOIN rest ON true ORDER BY rest.position
"""
"""The first reply is delivered, or given up for a `:reason`."""

POSTPONE = """
WITH step AS (
    UPDATE outboxes b SET
        holder = NULL, told_until = now(), sends_at = now() + make_interval(secs => :seconds)
    WHERE b.conversation_id = :id AND b.holder = :me AND b.token = :token RETURNING b.conversation_id
), tried AS (
    UPDATE outbox o SET attempts = o.attempts + 1 FROM step
    WHERE o.conversation_id = step.conversation_id AND o.position = :position
)
SELECT conversation_id FROM step
"""

RELEASE_OUTBOX = """
UPDATE outboxes SET holder = NULL, told_until = now()
WHERE conversation_id = :id AND holder = :me AND request = :request
RETURNING conversation_id
"""

# ---- dead letters --------------------------------------------------------------------------------

LETTERS = """
SELECT letter, conversation_id, reason, extract(epoch FROM at) AS at, message_id IS NOT NULL AS is_message, attempts,
    body
FROM letters ORDER BY letter LIMIT :limit
"""

REVIVE = """
WITH revived AS (
    DELETE FROM letters WHERE letter = :letter RETURNING conversation_id, message_id, body
), step AS (
    INSERT INTO conversations AS c (conversation_id)
    SELECT conversation_id FROM revived WHERE message_id IS NOT NULL
    ON CONFLICT (conversation_id) DO UPDATE SET token = c.token RETURNING c.conversation_id
), forgotten AS (
    DELETE FROM answered a USING revived r
    WHERE a.conversation_id = r.conversation_id AND a.message_id = r.message_id
), put AS (
    INSERT INTO inbox (position, conversation_id, message_id, request, remember_until, body)
    SELECT nextval('positions'), conversation_id, message_id, :request, now() + make_interval(secs => :remember), body
    FROM revived JOIN step USING (conversation_id)
    ON CONFLICT (conversation_id, message_id) DO NOTHING
), box AS (
    INSERT INTO outboxes AS b (conversation_id, sends_at)
    SELECT conversation_id, now() FROM revived WHERE message_id IS NULL
    ON CONFLICT (conversation_id) DO UPDATE SET sends_at = b.sends_at RETURNING b.conversation_id
), sent AS (
    INSERT INTO outbox (conversation_id, body)
    SELECT conversation_id, body FROM revived JOIN box USING (conversation_id)
)
SELECT conversation_id, message_id IS NOT NULL AS is_message FROM revived
"""

BURY = "DELETE FROM letters WHERE letter = :letter RETURNING letter"

# ---- reading -------------------------------------------------------------------------------------

READ = f"SELECT {_FOR_RESUME} FROM conversations step WHERE step.conversation_id = :id"

REPLIES = """
SELECT t.body FROM answered a LEFT JOIN turns t ON t.conversation_id = :id AND t.end_count = a.end_count
WHERE a.conversation_id = :id AND a.message_id = :message AND a.remember_until > now()
"""

EVENTS = """
SELECT start_count, body FROM turns
WHERE conversation_id = :id AND end_count > :after AND start_count < :last ORDER BY end_count
"""

IDS = """
SELECT conversation_id FROM conversations WHERE conversation_id > :after AND version <> 0
ORDER BY conversation_id LIMIT :limit
"""

DELETE = """
WITH step AS (DELETE FROM conversations WHERE conversation_id = :id),
    turns_gone AS (DELETE FROM turns WHERE conversation_id = :id),
    answered_gone AS (DELETE FROM answered WHERE conversation_id = :id),
    outboxes_gone AS (DELETE FROM outboxes WHERE conversation_id = :id),
    outbox_gone AS (DELETE FROM outbox WHERE conversation_id = :id),
    timers_gone AS (DELETE FROM timers WHERE conversation_id = :id),
    letters_gone AS (DELETE FROM letters WHERE conversation_id = :id),
    feed_gone AS (DELETE FROM feed WHERE conversation_id = :id),
    inbox_gone AS (DELETE FROM inbox WHERE conversation_id = :id RETURNING message_id, asked_by)
SELECT message_id, asked_by FROM inbox_gone
"""

# ---- the feed ------------------------------------------------------------------------------------

FEED = """
WITH step AS (
    UPDATE feeder f SET holder = :me, reads_until = now() + make_interval(secs => :seconds)
    WHERE coalesce(f.holder, :me) = :me OR f.reads_until <= now()
        OR NOT EXISTS (SELECT FROM processes p WHERE p.process = f.holder AND p.alive_until > now())
    RETURNING f.holder
)
SELECT feed.position, feed.conversation_id, feed.start_count, feed.body FROM step, feed
ORDER BY feed.position LIMIT :limit
"""

PUBLISHED = "DELETE FROM feed WHERE position = ANY (CAST(:positions AS bigint[]))"

# ---- processes -----------------------------------------------------------------------------------

BEAT = f"""
INSERT INTO processes (process, alive_until) VALUES (:me, now() + make_interval(secs => :seconds))
ON CONFLICT (process) DO UPDATE SET alive_until = EXCLUDED.alive_until
RETURNING {_NOT_ON_DISK}
"""

LEAVE = """
WITH tickets_gone AS (DELETE FROM tickets WHERE process = :me),
    feeder_gone AS (UPDATE feeder SET holder = NULL WHERE holder = :me)
DELETE FROM processes WHERE process = :me
"""

TELL = """
SELECT pg_notify(n.channel, n.payload)
FROM unnest(CAST(:channels AS text[]), CAST(:payloads AS text[])) AS n (channel, payload)
"""

LOOK = """
(
    SELECT 'inbox' AS kind, i.conversation_id, NULL AS name,
        extract(epoch FROM greatest(c.begins_at, c.told_until) - now()) AS number
    FROM inbox i JOIN conversations c USING (conversation_id)
    WHERE :works AND greatest(c.begins_at, c.told_until) <= now() + make_interval(secs => :soon)
        AND NOT EXISTS (SELECT FROM processes p WHERE p.process = c.holder AND p.alive_until > now())
        AND NOT EXISTS (
            SELECT FROM tickets t JOIN processes p USING (process)
            WHERE t.conversation_id = c.conversation_id AND t.position < i.position AND p.alive_until > now()
        )
    ORDER BY i.position LIMIT :most
) UNION ALL (
    SELECT 'outbox', b.conversation_id, NULL, extract(epoch FROM greatest(b.sends_at, b.told_until) - now())
    FROM outboxes b
    WHERE :works AND greatest(b.sends_at, b.told_until) <= now() + make_interval(secs => :soon)
        AND NOT EXISTS (SELECT FROM processes p WHERE p.process = b.holder AND p.alive_until > now())
    ORDER BY b.sends_at LIMIT :most
) UNION ALL (
    SELECT 'timer', t.conversation_id, t.name, extract(epoch FROM t.due - now()) FROM timers t
    WHERE :works AND t.due <= now() + make_interval(secs => :soon) ORDER BY t.due LIMIT :most
) UNION ALL (
    SELECT 'asked', t.conversation_id, NULL, t.request FROM tickets t LEFT JOIN conversations c USING (conversation_id)
    WHERE t.process = :me
        AND NOT EXISTS (SELECT FROM processes p WHERE p.process = c.holder AND p.alive_until > now())
) UNION ALL (
    SELECT 'granted', c.conversation_id, NULL, c.request
    FROM unnest(CAST(:asking AS text[]), CAST(:requests AS bigint[])) AS a (conversation_id, request)
    JOIN conversations c ON c.conversation_id = a.conversation_id AND c.request = a.request AND c.holder = :me
) UNION ALL (
    SELECT 'answered', a.conversation_id, a.message_id, 0
    FROM unnest(CAST(:awaited AS text[]), CAST(:messages AS text[])) AS a (conversation_id, message_id)
    WHERE NOT EXISTS (
        SELECT FROM inbox i WHERE i.conversation_id = a.conversation_id AND i.message_id = a.message_id
    )
) UNION ALL (
    SELECT 'waiting', '', NULL, count(*) FROM (SELECT FROM inbox LIMIT :limit) AS inbox
)
"""
"""What is to be done, soon at the latest, and what is awaited here and is there: notifications tell most of it, too."""

_PURGE = """
WITH gone AS (
    DELETE FROM {0} WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM {0} t WHERE {1} LIMIT :limit)) RETURNING 1
)
SELECT count(*) AS number FROM gone
"""
PURGE = (
    _PURGE.format("answered", "t.remember_until < now()"),
    _PURGE.format("processes", "t.alive_until < now() - interval '1 hour'"),
    _PURGE.format("tickets", "NOT EXISTS (SELECT FROM processes p WHERE p.process = t.process)"),
)
"""What is of no use any more, a part of it at a time."""

EXPIRE = """
WITH step AS (
    DELETE FROM conversations WHERE ctid = ANY (ARRAY(
        SELECT c.ctid FROM conversations c
        WHERE c.stored_at < now() - make_interval(secs => :ttl)
            AND NOT EXISTS (SELECT FROM processes p WHERE p.process = c.holder AND p.alive_until > now())
            AND NOT EXISTS (SELECT FROM inbox i WHERE i.conversation_id = c.conversation_id)
            AND NOT EXISTS (SELECT FROM outboxes b WHERE b.conversation_id = c.conversation_id)
            AND NOT EXISTS (SELECT FROM timers t WHERE t.conversation_id = c.conversation_id)
            AND NOT EXISTS (SELECT FROM tickets t WHERE t.conversation_id = c.conversation_id)
            AND NOT EXISTS (SELECT FROM feed f WHERE f.conversation_id = c.conversation_id)
        LIMIT :limit
    )) RETURNING conversation_id
), turns_gone AS (
    DELETE FROM turns t USING step WHERE t.conversation_id = step.conversation_id
), answered_gone AS (
    DELETE FROM answered a USING step WHERE a.conversation_id = step.conversation_id
), letters_gone AS (
    DELETE FROM letters l USING step WHERE l.conversation_id = step.conversation_id
)
SELECT count(*) AS number FROM step
"""
"""Conversations go in which nothing was said for a long time, and nothing waits."""

# ---- encryption ----------------------------------------------------------------------------------

SEALED = {
    "conversations": ("snapshot", "conversation_id", "'snapshot'"),
    "turns": ("body", "conversation_id, end_count", "'turn'"),
    "feed": ("body", "position", "'turn'"),
    "timers": ("body", "conversation_id, name", "'message'"),
    "inbox": ("body", "position", "'message'"),
    "outbox": ("body", "position", "'delivery'"),
    "letters": ("body", "letter", "CASE WHEN message_id IS NULL THEN 'delivery' ELSE 'message' END"),
}
"""The tables with sealed bodies: the column, those that tell a row, and what kind of body it is.

What moves meanwhile moves on to a later table: from timers to the inbox, and from there to the letters.
"""


MARK = "UPDATE format SET mark = :mark"
"""See `Seal.mark`."""


def sealed(table: str, *, is_first: bool) -> str:
    """A page of bodies, after the row that `:last_0` and so on tell, or the first page."""
    body, ids, kind = SEALED[table]
    marks = ", ".join(f":last_{number}" for number, _ in enumerate(ids.split(", ")))
    behind = "" if is_first else f"AND ({ids}) > ({marks})"
    return f"""
SELECT CAST(ctid AS text) AS place, conversation_id, {kind} AS kind, {body} AS body, {ids} FROM {table}
WHERE {body} IS NOT NULL {behind} ORDER BY {ids} LIMIT :limit
"""


def resealed(table: str) -> str:
    """Other bodies in place of those of a page, where these are still there."""
    body = SEALED[table][0]
    return f"""
UPDATE {table} t SET {body} = r.new
FROM unnest(CAST(:places AS tid[]), CAST(:old AS bytea[]), CAST(:new AS bytea[])) AS r (place, old, new)
WHERE t.ctid = r.place AND t.{body} = r.old RETURNING r.place
"""
