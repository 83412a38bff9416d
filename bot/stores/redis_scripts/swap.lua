-- One piece of what is stored takes the place of another, if that is still there: 1, else 0.
-- ARGV: …, 'list', 'hash', 'string' or 'stream', key, old piece, new piece, field of the hash
-- (a stream: the version it was read at, and the key of the new one)

local kind, place, old, new = ARGV[4], here .. ARGV[5], ARGV[6], ARGV[7]

if kind == 'list' then
  local index = call('LPOS', place, old)
  if not index then return 0 end
  call('LSET', place, index, new)
elseif kind == 'hash' then
  if call('HGET', place, ARGV[8]) ~= old then return 0 end
  call('HSET', place, ARGV[8], new)
elseif kind == 'string' then
  if call('GET', place) ~= old then return 0 end
  call('SET', place, new)
else
  if call('HGET', key('c', c), 'v') ~= old then return 0 end
  call('RENAME', here .. new, place)
end
return 1
