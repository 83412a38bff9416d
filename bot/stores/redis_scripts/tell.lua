-- Whether what a worker was told of still waits and is in nobody's hands: 1, else 0.
-- ARGV: …, 'inbox' or 'outbox', '1' when another worker is to be told of it

local is_inbox = ARGV[4] == 'inbox'
local x, rests = unpack(call('HMGET', key('c', c), is_inbox and 'x' or 'ox', is_inbox and 'b' or 'ob'))
if x == '1' or number(rests) > now or call('LLEN', key(is_inbox and 'i' or 'o', c)) == 0 then return 0 end
if ARGV[5] == '1' then
  if is_inbox then tell_inbox(c) else tell_outbox(c) end
end
return 1
