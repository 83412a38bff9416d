-- Somebody wants the conversation without a message: token and state, or he waits in the order of asking.
-- ARGV: …, known version

local x, h, p, r = unpack(call('HMGET', key('c', c), 'x', 'h', 'p', 'r'))
if x == '1' and p == process and r == request then return {tonumber(h), state(c, ARGV[4])} end
if x ~= '1' and call('LLEN', key('q', c)) == 0 then
  local found = state(c, ARGV[4])
  return {take(c, process, request), found}
end
if not call('LPOS', key('q', c), request) then call('RPUSH', key('q', c), request) end
return false
