-- Somebody wants the conversation without a message: token and state, or he waits in the order of asking.
-- ARGV: …, known version

local x, h, p, r = unpack(call('HMGET', key('c', c), 'x', 'h', 'p', 'r'))
if x == '1' and p == process and r == request then return {tonumber(h), state(c, ARGV[4])} end
if x ~= '1' and call('LLEN', key('q', c)) == 0 then
  local found = state(c, ARGV[4])
  return {take(c, process, request), found}
end
for _, asked in ipairs(call('LRANGE', key('q', c), 0, -1)) do
  if string.match(asked, ':(.*)$') == request then return false end
end
call('RPUSH', key('q', c), string.format('%.0f:', micros) .. request)
return false
