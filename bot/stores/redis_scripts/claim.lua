-- A worker takes the lease of a conversation in which messages wait: token, attempts before, messages, state.
-- ARGV: …, known version

local x, h, p, r, a, b = unpack(call('HMGET', key('c', c), 'x', 'h', 'p', 'r', 'a', 'b'))
if x == '1' then
  if p ~= process or r ~= request then return false end
  return {tonumber(h), number(a) - 1, shown(c), state(c, ARGV[4])}
end
if call('LLEN', key('i', c)) == 0 then
  forget('i' .. c)
  return false
end
if not comes_first(call('LINDEX', key('i', c), 0), call('LINDEX', key('q', c), 0), b) then return false end
local found = state(c, ARGV[4])
local token, attempts = take(c, process, request, true)
return {token, attempts, shown(c), found}
