-- A message comes in: accept, or begin, which takes the lease along where the conversation is free.
-- ARGV: …, message id, body, seconds to remember it, milliseconds to wait, 'accept' or 'begin', known version

local id, body, seconds, wait, begins = ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == 'begin'
local x, h, p, r, a, b = unpack(call('HMGET', key('c', c), 'x', 'h', 'p', 'r', 'a', 'b'))
local known = call('HGET', key('m', c), id)

if known then
  local expires, entry, by, waiting = read_id(known)
  if entry == '' then
    if not begins then return {by == request and 'accepted' or 'known'} end
    if x == '1' and p == process and r == request then
      -- The same request again, because its answer was lost.
      return {'taken', tonumber(h), number(a) - 1, shown(c), state(c, ARGV[9])}
    end
    if not string.find(',' .. waiting .. ',', ',' .. process .. ',', 1, true) then
      waiting = waiting == '' and process or waiting .. ',' .. process
      call('HSET', key('m', c), id, expires .. '||' .. by .. '|' .. waiting)
    end
    if x == '1' or number(b) > now or call('LLEN', key('q', c)) > 0 then return {'waits'} end
    local found = state(c, ARGV[9])
    local token, attempts = take(c, process, request, true)
    return {'taken', token, attempts, shown(c), found}
  end
  if expires * 1000 > now then return begins and {'answered', answer(c, entry)} or {'known'} end
end

local full = is_full(c)
if full then return {'full', full} end
local takes = begins and x ~= '1' and call('LLEN', key('q', c)) == 0
local found = takes and state(c, ARGV[9])
put(c, id, body, seconds, wait, request, begins and process or '')
if takes then
  local token, attempts = take(c, process, request, true)
  return {'taken', token, attempts, shown(c), found}
end
if x ~= '1' then tell_inbox(c) end
return {'accepted'}
