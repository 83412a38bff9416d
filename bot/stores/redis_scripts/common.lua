-- What every script begins with: where things are, and what several of them do.
--
-- KEYS[1] is how the keys of the partition begin, KEYS[2] one of them. (With two keys of which one is never there, a
-- cluster that is moving the slot answers TRYAGAIN, and no script sees half of a conversation.)
-- ARGV: the conversation ('' for the partition as a whole), the process that asks, the name of its request.
-- Before this stand the constants: LEASE, GRACE, TTL (milliseconds), MOST, SHOWN, RECENT, CAPACITY, REMEMBER, CHANNEL,
-- FEEDS (whether what is committed is to be published).
--
-- Of a partition:
--   ready      zset  'i' or 'o' and a conversation whose inbox or outbox waits and is in nobody's hands: when it began to
--   due        zset  the same, of all that is unfinished: when somebody must look at it again
--   timers     zset  a conversation and a timer's name: when it is due
--   ids        zset  conversations in which something was committed, by their letters
--   processes  zset  those that are alive: until when, if they do not say so again
--   ends       zset  conversations: when they go (only with a TTL)
--   feed       zset  conversations with events that are not published: since when; feeder: the process that publishes them
--   token      the last fencing token; waiting: how many messages wait; letters, letter: what was given up
-- Of a conversation:
--   c:  hash    n events, v the request that stored the latest turn, g that of the latest `replace`,
--               h token of the latest lease, p its process, r its request, x '1' in hand, 'x' its process was lost
--               a attempts at the oldest message, b the inbox rests until then, e when the latest message id is forgotten,
--               k how many message ids there may be before the old ones are looked for,
--               oh op or ox oa ob the same for the outbox
--   s:  string  the snapshot         t:  stream  turns: id <events after it>-0, n events, e their bodies
--   m:  hash    message id: when it is forgotten, where its turn is, who accepted it, which processes wait for the answer
--   i:  list    messages that wait   o:  list    replies that wait    q:  list  requests for the lease
--   y:  hash    timers by name       l:  set     its dead letters
--   f:  list    parts of turns that are not published, each with a name and the number of events before it
-- All times are milliseconds since 1970 by the clock of Redis, but for those in m: and e (seconds).

local here, c, process, request = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local call = redis.call
local time = call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)

local READY, DUE, TIMERS, IDS = here .. 'ready', here .. 'due', here .. 'timers', here .. 'ids'
local PROCESSES, ENDS, TOKEN, WAITING = here .. 'processes', here .. 'ends', here .. 'token', here .. 'waiting'
local LETTERS, LETTER = here .. 'letters', here .. 'letter'
local FEED, FEEDER = here .. 'feed', here .. 'feeder'

local PARTITION = {
  ready = 'zset', due = 'zset', timers = 'zset', ids = 'zset', processes = 'zset', ends = 'zset', letters = 'zset',
  token = 'string', waiting = 'string', letter = 'hash', feed = 'zset', feeder = 'string',
}
local CONVERSATION = {
  ['c:'] = 'hash', ['s:'] = 'string', ['t:'] = 'stream', ['m:'] = 'hash', ['i:'] = 'list', ['o:'] = 'list',
  ['q:'] = 'list', ['y:'] = 'hash', ['l:'] = 'set', ['f:'] = 'list',
}

-- A script that fails half way has done half of its work. So each reads from every key of the conversation before it
-- writes to one: a value that is not ours fails there. This finds out which one it was.
local function foreign(kinds, conversation)
  for name, kind in pairs(kinds) do
    local found = call('TYPE', here .. name .. conversation).ok
    if found ~= kind and found ~= 'none' then
      return {err = 'FOREIGN ' .. here .. name .. conversation .. "' is a " .. found .. ', not a ' .. kind}
    end
  end
end

local function key(kind, conversation) return here .. kind .. ':' .. conversation end

local function number(value) return tonumber(value or 0) end

local function alive(other)
  local till = call('ZSCORE', PROCESSES, other)
  return till and number(till) > now
end

-- ---- who is told -----------------------------------------------------------------------------------------------

local function publish(other, text) call('PUBLISH', CHANNEL .. other, text) end

-- A worker, of an inbox that waits in a conversation which is free; later, where it is to rest.
local function tell_inbox(conversation)
  local member, rests = 'i' .. conversation, number(call('HGET', key('c', conversation), 'b'))
  if rests > now then
    call('ZADD', DUE, rests, member)
    call('ZREM', READY, member)
  else
    call('ZADD', DUE, now + GRACE, member)
    call('ZADD', READY, 'NX', now, member)
  end
end

local function tell_outbox(conversation)
  local member, rests = 'o' .. conversation, number(call('HGET', key('c', conversation), 'ob'))
  if rests > now then
    call('ZADD', DUE, rests, member)
    call('ZREM', READY, member)
  else
    call('ZADD', DUE, now + GRACE, member)
    call('ZADD', READY, 'NX', now, member)
  end
end

local function forget(member)
  call('ZREM', READY, member)
  call('ZREM', DUE, member)
end

-- Nothing is left of a conversation in which nothing was ever stored.
local function tidy(conversation)
  if call('EXISTS', key('s', conversation), key('i', conversation), key('o', conversation), key('q', conversation),
      key('y', conversation)) == 0 then
    call('DEL', key('c', conversation))
  end
end

-- ---- leases ----------------------------------------------------------------------------------------------------

-- The new token; and how often the oldest message was begun before, when it is begun now.
local function take(conversation, holder, by, begins)
  local C, token, attempts = key('c', conversation), call('INCR', TOKEN), nil
  if begins then
    attempts = number(call('HGET', C, 'a'))
    call('HSET', C, 'h', token, 'p', holder, 'r', by, 'x', '1', 'a', attempts + 1)
  else
    call('HSET', C, 'h', token, 'p', holder, 'r', by, 'x', '1')
  end
  call('ZADD', DUE, now + LEASE, 'i' .. conversation)
  call('ZREM', READY, 'i' .. conversation)
  return token, attempts
end

-- When a message came, or somebody asked, in microseconds.
local function arrival(entry) return tonumber(string.match(entry, '^%d+')) end

-- Whether the message is to be answered now: it has rested, and nobody asked for the conversation before it came.
local function comes_first(message, asked, rests)
  return message and number(rests) <= now and not (asked and arrival(asked) < arrival(message))
end

-- Whoever came first has the conversation next: one who asked and is still there, or a worker, who is told. (One who
-- is in a hurry has waited long enough for a worker.)
local function free(conversation, mark, is_in_a_hurry)
  local C, Q = key('c', conversation), key('q', conversation)
  local message, asked = call('LINDEX', key('i', conversation), 0), call('LINDEX', Q, 0)
  local rests = asked and call('HGET', C, 'b')
  while asked and (is_in_a_hurry or not comes_first(message, asked, rests)) do
    call('LPOP', Q)
    local ticket = string.match(asked, ':(.*)$')
    local asking = string.match(ticket, '^[^-]+')
    if alive(asking) then
      local token = take(conversation, asking, ticket)
      publish(asking, 'g' .. ticket .. ':' .. token .. ':' .. conversation)
      return
    end
    asked = call('LINDEX', Q, 0)
  end
  if message then
    call('HSET', C, 'x', mark)
    tell_inbox(conversation)
  else
    forget('i' .. conversation)
    if call('EXISTS', C) == 1 then call('HSET', C, 'x', mark) end
    tidy(conversation)
  end
end

-- ---- message ids -----------------------------------------------------------------------------------------------

local function read_id(value)
  local expires, entry, by, waiting = string.match(value, '^(%d+)|([^|]*)|([^|]*)|(.*)$')
  return number(expires), entry, by, waiting
end

local function forget_old_ids(conversation)
  local hash, C = key('m', conversation), key('c', conversation)
  local all = call('HGETALL', hash)
  for i = 1, #all, 2 do
    local expires, entry = read_id(all[i + 1])
    if entry ~= '' and expires * 1000 <= now then call('HDEL', hash, all[i]) end
  end
  call('HSET', C, 'k', math.max(64, 2 * call('HLEN', hash)))
end

-- ---- the inbox -------------------------------------------------------------------------------------------------

local function is_full(conversation)
  if call('LLEN', key('i', conversation)) >= MOST then return 'conversation' end
  if number(call('GET', WAITING)) >= CAPACITY then return 'all' end
end

-- No worker is told yet; whoever has the conversation in hand is.
local function put(conversation, id, body, seconds, wait, by, waiting)
  local C, M, expires = key('c', conversation), key('m', conversation), math.ceil(now / 1000 + seconds)
  local latest, most, x, p, h = unpack(call('HMGET', C, 'e', 'k', 'x', 'p', 'h'))
  call('RPUSH', key('i', conversation), string.format('%.0f:%d:', micros, #id) .. id .. body)
  call('HSET', M, id, expires .. '||' .. by .. '|' .. waiting)
  call('PERSIST', M)
  call('INCR', WAITING)
  if expires > number(latest) then call('HSET', C, 'e', expires) end
  if wait > 0 then call('HSET', C, 'b', now + wait) end
  if x == '1' then publish(p, 'n' .. h .. ':' .. #conversation .. ':' .. conversation .. id) end
  if call('HLEN', M) >= number(most or 64) then forget_old_ids(conversation) end
end

-- The id of a message in the inbox, or of a timer, and its body.
local function id_of(entry)
  local _, last, length = string.find(entry, '^%d+:(%d+):')
  return string.sub(entry, last + 1, last + length), string.sub(entry, last + length + 1)
end

local function shown(conversation) return call('LRANGE', key('i', conversation), 0, SHOWN - 1) end

-- ---- reading ---------------------------------------------------------------------------------------------------

-- The version; and where the asking process does not know that one, the snapshot and the latest turns, oldest first.
local function state(conversation, known)
  local version = call('HGET', key('c', conversation), 'v')
  if not version then return {} end
  if version == known then return {version} end
  local bodies, events, last = {}, 0, '+'
  repeat
    local page = call('XREVRANGE', key('t', conversation), last, '-', 'COUNT', 16)
    for _, entry in ipairs(page) do
      if events < RECENT then
        events = events + number(entry[2][2])
        table.insert(bodies, 1, entry[2][4])
      end
      last = '(' .. entry[1]
    end
  until events >= RECENT or #page < 16
  return {version, call('GET', key('s', conversation)), bodies}
end

-- The bodies of the turn that answered a message, by where it is; none when it was silent or has been replaced.
local function answer(conversation, entry)
  local first, last = string.match(entry, '^([^,]+),(.+)$')
  local bodies = {}
  if first then
    for _, turn in ipairs(call('XRANGE', key('t', conversation), first, last)) do bodies[#bodies + 1] = turn[2][4] end
  end
  return bodies
end

-- ---- the end ---------------------------------------------------------------------------------------------------

local function erase(conversation)
  local waiting = call('LRANGE', key('i', conversation), 0, -1)
  if #waiting > 0 then call('DECRBY', WAITING, #waiting) end
  for _, entry in ipairs(waiting) do
    local known = call('HGET', key('m', conversation), (id_of(entry)))
    if known then
      local _, _, _, others = read_id(known)
      for other in string.gmatch(others, '[^,]+') do publish(other, 'd' .. conversation) end
    end
  end
  for _, name in ipairs(call('HKEYS', key('y', conversation))) do
    call('ZREM', TIMERS, #conversation .. ':' .. conversation .. name)
  end
  for _, letter in ipairs(call('SMEMBERS', key('l', conversation))) do
    call('ZREM', LETTERS, letter)
    call('HDEL', LETTER, letter)
  end
  for kind in pairs(CONVERSATION) do
    if kind ~= 'q:' then call('UNLINK', here .. kind .. conversation) end
  end
  forget('o' .. conversation)
  call('ZREM', IDS, conversation)
  call('ZREM', ENDS, conversation)
  call('ZREM', FEED, conversation)
  free(conversation, '')
end
