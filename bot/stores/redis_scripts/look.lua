-- What every process does in every partition about once a second: it says that it is alive, finds what those have left
-- that are not, fires timers that are due, and tells workers of what has rested long enough.
-- The result: milliseconds until it is time again (-1: nothing is planned), and the keys that are not ours.
-- ARGV: …, '1' when this process may say of others that they are gone: it has been here without a break itself

local may_bury, problems, AT_ONCE = ARGV[4] == '1', {}, 100

local wrong = foreign(PARTITION, '')
if wrong then return wrong end
call('ZADD', PROCESSES, now + LEASE, process)
if may_bury then call('ZREMRANGEBYSCORE', PROCESSES, '-inf', now - LEASE) end

-- Whether what is in the hands of this process goes on to be.
local function stays(member, holder, token)
  local till = number(call('ZSCORE', PROCESSES, holder))
  if till > now then
    call('ZADD', DUE, till, member)
    publish(holder, 'h' .. token .. ':' .. member)
    return true
  end
  if not may_bury then
    call('ZADD', DUE, now + GRACE, member)
    return true
  end
end

local function look_at_inbox(conversation)
  local x, p, h = unpack(call('HMGET', key('c', conversation), 'x', 'p', 'h'))
  if x == '1' then
    if not stays('i' .. conversation, p, h) then free(conversation, 'x') end
  elseif call('LLEN', key('q', conversation)) > 0 then
    free(conversation, x or '', true)
  elseif call('LLEN', key('i', conversation)) > 0 then
    tell_inbox(conversation)
  else
    forget('i' .. conversation)
  end
end

local function look_at_outbox(conversation)
  local x, p, h = unpack(call('HMGET', key('c', conversation), 'ox', 'op', 'oh'))
  if x == '1' then
    if stays('o' .. conversation, p, h) then return end
    call('HSET', key('c', conversation), 'ox', 'x')
  end
  if call('LLEN', key('o', conversation)) > 0 then tell_outbox(conversation) else forget('o' .. conversation) end
end

for _, member in ipairs(call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, AT_ONCE)) do
  local conversation = string.sub(member, 2)
  local problem = foreign(CONVERSATION, conversation)
  if problem then
    problems[#problems + 1] = problem.err
    call('ZADD', DUE, now + 60000, member)
  elseif string.sub(member, 1, 1) == 'i' then
    look_at_inbox(conversation)
  else
    look_at_outbox(conversation)
  end
end

for _, member in ipairs(call('ZRANGEBYSCORE', TIMERS, '-inf', now, 'LIMIT', 0, AT_ONCE)) do
  local _, last, length = string.find(member, '^(%d+):')
  local conversation, name = string.sub(member, last + 1, last + length), string.sub(member, last + length + 1)
  local problem = foreign(CONVERSATION, conversation)
  if problem then
    problems[#problems + 1] = problem.err
    call('ZADD', TIMERS, now + 60000, member)
  else
    local timer = call('HGET', key('y', conversation), name)
    call('ZREM', TIMERS, member)
    call('HDEL', key('y', conversation), name)
    if timer then
      local id, body = id_of(timer)
      local known, is_new = call('HGET', key('m', conversation), id), true
      if known then
        local expires, entry = read_id(known)
        is_new = entry ~= '' and expires * 1000 <= now
      end
      if is_new then
        put(conversation, id, body, REMEMBER, 0, '', '')
        if call('HGET', key('c', conversation), 'x') ~= '1' then tell_inbox(conversation) end
      end
    end
  end
end

if TTL > 0 then
  for _, conversation in ipairs(call('ZRANGEBYSCORE', ENDS, '-inf', now, 'LIMIT', 0, AT_ONCE)) do
    local is_busy = call('HGET', key('c', conversation), 'x') == '1' or call('EXISTS', key('i', conversation),
      key('o', conversation), key('q', conversation), key('y', conversation)) > 0
      or FEEDS and call('EXISTS', key('f', conversation)) > 0
    if is_busy or foreign(CONVERSATION, conversation) then
      call('ZADD', ENDS, now + 60000, conversation)
    else
      erase(conversation)
    end
  end
end

local planned = -1
for _, zset in ipairs({DUE, TIMERS, ENDS}) do
  local first = call('ZRANGE', zset, 0, 0, 'WITHSCORES')
  if first[2] and (planned < 0 or first[2] - now < planned) then planned = math.max(first[2] - now, 0) end
end
return {math.floor(planned), problems}
