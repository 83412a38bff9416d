-- ARGV: …, 'load', known version | 'replies', message id | 'events', after which number, at most how many turns

if ARGV[4] == 'load' then return state(c, ARGV[5]) end
if ARGV[4] == 'events' then
  local turns = {}
  for i, turn in ipairs(call('XRANGE', key('t', c), (ARGV[5] + 1) .. '-0', '+', 'COUNT', ARGV[6])) do
    turns[i] = {turn[1], turn[2][2], turn[2][4]}
  end
  return {call('HGET', key('c', c), 'g') or '', turns}
end
local known = call('HGET', key('m', c), ARGV[5])
if not known then return {'unknown'} end
local expires, entry = read_id(known)
if entry == '' then return {'waits'} end
if expires * 1000 <= now then return {'unknown'} end
return {'answered', answer(c, entry)}
