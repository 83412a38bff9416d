-- A turn is stored, whole or not at all.
-- ARGV: …, token, events before it ('' when it takes the place of all there was), events after it, '1' when the lease
-- goes on to the next message, snapshot; then lists, each begins with its length: parts of the turn (number of events,
-- body), message ids, deliveries, timers (name, due, message id, body; due '' cancels), dead letters (id, body)

local token, start, last, goes_on, snapshot = ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8]
local C, at = key('c', c), 9

local function list(width)
  local found, count = {}, tonumber(ARGV[at])
  for i = 1, count do
    local row = {}
    for j = 1, width do row[j] = ARGV[at + (i - 1) * width + j] end
    found[i] = row
  end
  at = at + 1 + count * width
  return found
end

local parts, ids, deliveries, timers, letters = list(2), list(1), list(1), list(4), list(2)
local x, h, p, n, v, me, a, rests, ox = unpack(call('HMGET', C, 'x', 'h', 'p', 'n', 'v', 'e', 'a', 'b', 'ox'))
local waiting, asked = call('LLEN', key('i', c)), call('LINDEX', key('q', c), 0)
call('STRLEN', key('s', c))
call('HLEN', key('m', c))
call('LLEN', key('o', c))
call('HLEN', key('y', c))
if call('XLEN', key('t', c)) > 0 and not n then
  return {err = 'FOREIGN ' .. key('t', c) .. "' is what was left of a conversation"}
end
me, a = number(me), number(a)

local function next_message()
  if waiting == 0 or not comes_first(call('LINDEX', key('i', c), 0), asked, rests) then
    free(c, '')
    return {'done'}
  end
  call('HSET', C, 'r', request, 'x', '1', 'a', a + 1)
  call('ZADD', DUE, now + LEASE, 'i' .. c)
  call('ZREM', READY, 'i' .. c)
  return {'next', a, shown(c)}
end

if v == request then
  -- The same turn again, because the answer was lost.
  if goes_on and x == '1' and h == token and p == process then
    return {'next', a - 1, shown(c)}
  end
  return {'done'}
end
if h ~= token or p ~= process or (x ~= '1' and x ~= 'x') then return {'lost', 'lease'} end
if start ~= '' and number(n) ~= tonumber(start) then return {'lost', 'moved'} end

local waits, marks, total = {}, {}, 0
for _, part in ipairs(parts) do total = total + part[1] end
local range = '-'
if total > 0 then range = string.format('%d-0,%d-0', last - total + parts[1][1], last) end
for i, id in ipairs(ids) do
  local known = call('HGET', key('m', c), id[1])
  local expires, entry, _, others
  if known then
    expires, entry, _, others = read_id(known)
    if entry ~= '' then return {'lost', 'answered', id[1]} end
  else
    expires, others = math.ceil(now / 1000) + REMEMBER, ''
  end
  me = math.max(me, expires)
  waits[i] = others
  -- What was said is the answer to the last one.
  marks[i] = expires .. '|' .. (i == #ids and range or '-') .. '||'
end

-- From here on everything is written.
call('SET', key('s', c), snapshot)
if start == '' then
  call('DEL', key('t', c))
  call('HSET', C, 'g', request)
  local answered = call('HGETALL', key('m', c))
  for i = 1, #answered, 2 do
    local expires, entry = read_id(answered[i + 1])
    if entry ~= '' then call('HSET', key('m', c), answered[i], expires .. '|-||') end
  end
end
local event = last - total
for i, part in ipairs(parts) do
  event = event + part[1]
  call('XADD', key('t', c), event .. '-0', 'n', part[1], 'e', part[2])
  if FEEDS then
    local name = request .. '+' .. i
    call('RPUSH', key('f', c), event - part[1] .. ':' .. #name .. ':' .. name .. part[2])
  end
end
if FEEDS and #parts > 0 then
  call('ZADD', FEED, 'NX', now, c)
  local feeder = call('GET', FEEDER)
  if feeder and feeder ~= process then publish(feeder, 'f' .. c) end
end
if not v then call('ZADD', IDS, 0, c) end
if TTL > 0 then call('ZADD', ENDS, now + TTL, c) end

for i, id in ipairs(ids) do
  call('HSET', key('m', c), id[1], marks[i])
  local first = call('LINDEX', key('i', c), 0)
  if first and id_of(first) == id[1] then
    call('LPOP', key('i', c))
    call('DECR', WAITING)
    waiting, a = waiting - 1, 0
  elseif first then
    for _, entry in ipairs(call('LRANGE', key('i', c), 0, -1)) do
      if id_of(entry) == id[1] then
        call('LREM', key('i', c), 1, entry)
        call('DECR', WAITING)
        waiting = waiting - 1
        break
      end
    end
  end
  for other in string.gmatch(waits[i], '[^,]+') do
    if other ~= process then
      local body = i == #ids and #parts == 1 and parts[1][2] or ''
      publish(other, 'a' .. #c .. ':' .. #id[1] .. ':' .. c .. id[1] .. body)
    end
  end
end
call('HSET', C, 'n', last, 'v', request, 'e', me, 'a', a)
if #ids > 0 and waiting == 0 then call('EXPIREAT', key('m', c), me) end

for _, delivery in ipairs(deliveries) do call('RPUSH', key('o', c), delivery[1]) end
if #deliveries > 0 and ox ~= '1' then tell_outbox(c) end

for _, timer in ipairs(timers) do
  local name, due, id, body = unpack(timer)
  local member = #c .. ':' .. c .. name
  if due == '' then
    call('ZREM', TIMERS, member)
    call('HDEL', key('y', c), name)
  else
    call('ZADD', TIMERS, due, member)
    call('HSET', key('y', c), name, due .. '000:' .. #id .. ':' .. id .. body)
  end
end

for _, letter in ipairs(letters) do
  call('ZADD', LETTERS, string.format('%.0f', micros), letter[1])
  call('HSET', LETTER, letter[1], letter[2])
  call('SADD', key('l', c), letter[1])
end

if goes_on then return next_message() end
if x == 'x' then
  -- Its lease ran out, and nobody has taken it since: it is in hand again.
  call('HSET', C, 'x', '1')
  call('ZADD', DUE, now + LEASE, 'i' .. c)
  call('ZREM', READY, 'i' .. c)
end
return {'done'}
