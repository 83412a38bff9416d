-- A dead letter is forgotten, or comes back: at the end of its conversation's inbox or outbox.
-- ARGV: …, letter, 'bury', 'message' or 'delivery', body, message id

local id, step, body = ARGV[4], ARGV[5], ARGV[6]
if call('HEXISTS', LETTER, id) == 0 then return 0 end
call('LLEN', key('i', c))
call('LLEN', key('o', c))
call('HLEN', key('m', c))
call('HDEL', LETTER, id)
call('ZREM', LETTERS, id)
call('SREM', key('l', c), id)
if step == 'message' then
  put(c, ARGV[7], body, REMEMBER, 0, '', '')
  if call('HGET', key('c', c), 'x') ~= '1' then tell_inbox(c) end
elseif step == 'delivery' then
  call('RPUSH', key('o', c), body)
  if call('HGET', key('c', c), 'ox') ~= '1' then tell_outbox(c) end
end
return 1
