-- Forgets that an execution's list entries are behind, unless it was marked again meanwhile. Its log gets
-- the TTL that the execution has: every end and every redrive of it comes by here.
-- KEYS: 1 index ZSET, 2 execution HASH, 3 log LIST, 4 log sizes HASH
-- ARGV: 1 id, 2 score of the mark that was seen ('' = none)
-- Returns {1, 1 when the execution is there else 0}
local score = call('ZSCORE', KEYS[1], ARGV[1])
local same = score and ARGV[2] ~= '' and tonumber(score) == tonumber(ARGV[2])
local ttl = call('PTTL', KEYS[2])
-- writes follow
if same then call('ZREM', KEYS[1], ARGV[1]) end
for i = 3, 4 do
  if ttl > 0 then call('PEXPIRE', KEYS[i], ttl) else call('PERSIST', KEYS[i]) end
end
return {1, ttl == -2 and 0 or 1}
