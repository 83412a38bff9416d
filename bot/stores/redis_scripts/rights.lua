-- Which of the commands that the scripts use the user must not use: a right that is found missing in the middle of a
-- step would leave half of it. They are tried on a key that is not there before and after.

local K = here .. 'rights'
local COMMANDS = {
  {'SET', K, 1}, {'GET', K}, {'STRLEN', K}, {'INCR', K}, {'DECR', K}, {'DECRBY', K, 1}, {'PERSIST', K}, {'TYPE', K},
  {'EXPIREAT', K, 1}, {'EXISTS', K}, {'DEL', K},
  {'HSET', K, 'a', 1}, {'HGET', K, 'a'}, {'HMGET', K, 'a'}, {'HGETALL', K}, {'HKEYS', K}, {'HLEN', K},
  {'HEXISTS', K, 'a'}, {'HINCRBY', K, 'a', 1}, {'HDEL', K, 'a'},
  {'RPUSH', K, 'a'}, {'LSET', K, 0, 'b'}, {'LINDEX', K, 0}, {'LRANGE', K, 0, -1}, {'LLEN', K}, {'LPOS', K, 'b'},
  {'LREM', K, 0, 'a'}, {'LPOP', K},
  {'ZADD', K, 1, 'a'}, {'ZSCORE', K, 'a'}, {'ZRANGE', K, 0, -1}, {'ZRANGEBYSCORE', K, 0, 1}, {'ZREM', K, 'b'},
  {'ZREMRANGEBYSCORE', K, 0, 1},
  {'SADD', K, 'a'}, {'SMEMBERS', K}, {'SREM', K, 'a'},
  {'XADD', K, '1-0', 'a', 1}, {'XLEN', K}, {'XRANGE', K, '-', '+'}, {'XREVRANGE', K, '+', '-'}, {'RENAME', K, K},
  {'UNLINK', K}, {'PUBLISH', CHANNEL .. process, ''}, {'TIME'},
}

local missing = {}
for _, command in ipairs(COMMANDS) do
  local answer = redis.pcall(unpack(command))
  if type(answer) == 'table' and answer.err and string.find(answer.err, 'user executing the script', 1, true) then
    missing[#missing + 1] = string.lower(command[1])
  end
end
return missing
