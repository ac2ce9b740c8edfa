-- Forgets that an execution's list entries are behind, unless it was marked again meanwhile.
-- KEYS: 1 index ZSET, 2 execution HASH
-- ARGV: 1 id, 2 score of the mark that was seen ('' = none)
-- Returns {1, 1 when the execution is there else 0}
local score = call('ZSCORE', KEYS[1], ARGV[1])
local same = score and ARGV[2] ~= '' and tonumber(score) == tonumber(ARGV[2])
local there = call('EXISTS', KEYS[2])
-- writes follow
if same then call('ZREM', KEYS[1], ARGV[1]) end
return {1, there}
