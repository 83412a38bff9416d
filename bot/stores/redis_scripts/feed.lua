-- What has been committed and not published; and what of it is struck off.
-- ARGV: …, 'read', at most how many parts of turns
-- ARGV: …, 'strike', then pairs: a conversation, an entry's name

local step = ARGV[4]

if step == 'strike' then
  local names = {}
  for i = 5, #ARGV, 2 do names[ARGV[i + 1]] = ARGV[i] end
  for _, conversation in pairs(names) do
    local F = key('f', conversation)
    local first = call('LINDEX', F, 0)
    while first and names[id_of(first)] do
      call('LPOP', F)
      first = call('LINDEX', F, 0)
    end
    if not first then call('ZREM', FEED, conversation) end
  end
  return true
end

-- Another one that lives has it in hand.
local feeder = call('GET', FEEDER)
if feeder and feeder ~= process and alive(feeder) then return {} end
if feeder ~= process then call('SET', FEEDER, process) end

local found, room = {}, tonumber(ARGV[5])
for _, conversation in ipairs(call('ZRANGE', FEED, 0, room - 1)) do
  if room <= 0 then break end
  for _, entry in ipairs(call('LRANGE', key('f', conversation), 0, room - 1)) do
    found[#found + 1] = conversation
    found[#found + 1] = entry
    room = room - 1
  end
end
return found
