-- A lease is given back without a commit, or somebody no longer asks for it.
-- ARGV: …, token or '', the request that took or asked for it or '', '1' when its attempt does not count

local x, h, p, r, a = unpack(call('HMGET', key('c', c), 'x', 'h', 'p', 'r', 'a'))
for _, asked in ipairs(call('LRANGE', key('q', c), 0, -1)) do
  if string.match(asked, ':(.*)$') == ARGV[5] then call('LREM', key('q', c), 1, asked) end
end
if x == '1' and p == process and (h == ARGV[4] or r == ARGV[5]) then
  if ARGV[6] == '1' and number(a) > 0 then call('HINCRBY', key('c', c), 'a', -1) end
  free(c, '')
end
return true
