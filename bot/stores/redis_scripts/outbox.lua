-- The right to deliver a conversation's replies, and what became of the first of them.
-- ARGV: …, 'claim', 'delivered', 'give_up', 'postpone' or 'release', token ('' when the request that took it follows),
-- deliveries that the holder knows of (milliseconds, to postpone; the request, to release), a dead letter: id, body

local step, token, C, O = ARGV[4], ARGV[5], key('c', c), key('o', c)
local h, p, r, x, attempts, rests = unpack(call('HMGET', C, 'oh', 'op', 'or', 'ox', 'oa', 'ob'))
local waiting = call('LLEN', O)

if step == 'claim' then
  if x == '1' then
    if p ~= process or r ~= request then return false end
    return {tonumber(h), number(attempts), call('LRANGE', O, 0, SHOWN - 1)}
  end
  if waiting == 0 then
    forget('o' .. c)
    return false
  end
  if number(rests) > now then return false end
  local new = call('INCR', TOKEN)
  call('HSET', C, 'oh', new, 'op', process, 'or', request, 'ox', '1')
  call('ZADD', DUE, now + LEASE, 'o' .. c)
  call('ZREM', READY, 'o' .. c)
  return {new, number(attempts), call('LRANGE', O, 0, SHOWN - 1)}
end

if step == 'release' then
  if x == '1' and p == process and (h == token or r == ARGV[6]) then
    call('HSET', C, 'ox', '')
    tell_outbox(c)
  end
  return true
end

local is_done = r == request
if not is_done and (h ~= token or p ~= process or (x ~= '1' and x ~= 'x') or waiting == 0) then
  return {'lost'}
end

if step == 'postpone' then
  if not is_done then
    call('HSET', C, 'or', request, 'ox', '', 'ob', now + ARGV[6])
    call('HINCRBY', C, 'oa', 1)
    tell_outbox(c)
  end
  return {'free'}
end

if not is_done then
  call('LPOP', O)
  waiting = waiting - 1
  call('HSET', C, 'or', request, 'oa', 0)
  if step == 'give_up' then
    call('ZADD', LETTERS, string.format('%.0f', micros), ARGV[7])
    call('HSET', LETTER, ARGV[7], ARGV[8])
    call('SADD', key('l', c), ARGV[7])
  end
end
if waiting > 0 then
  call('HSET', C, 'ox', '1')
  call('ZADD', DUE, now + LEASE, 'o' .. c)
  call('ZREM', READY, 'o' .. c)
  return {'more', call('LRANGE', O, ARGV[6] - 1, SHOWN - 1)}
end
call('HSET', C, 'ox', '')
forget('o' .. c)
tidy(c)
return {'free'}
