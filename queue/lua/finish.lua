-- Ends an execution in which nothing is left to do.
-- KEYS: as complete.lua
-- ARGV: 1 id, 2 offset ms, 3 epoch the decision rested on, 4 status, 5 output ('' = none), 6 error ('' = none), 7 retention ms, 8 causes of its failure ('' = none)
-- Returns {1, now} | {-1} gone | {-5} the state moved on
local id, now, status = ARGV[1], clock(ARGV[2]), ARGV[4]
local x = execution(KEYS[1])
if not x then return {-1} end
local from = going(x) and call('SCARD', KEYS[6]) == 0 -- what is open while canceling concerns nobody any more
if x.applying and status ~= 'canceled' or not (from or status == 'canceled' and x.status == 'canceling') or x.epoch ~= ARGV[3] or active(x) > 0
  or x.pending + 0 > 0 then return {-5} end
local k = keys(KEYS)
-- writes follow
if ARGV[5] ~= '' then call('HSET', KEYS[3], 'out', ARGV[5]) end
if ARGV[6] ~= '' then call('HSET', KEYS[3], 'error', ARGV[6]) end
finish(k, x, id, status, now, tonumber(ARGV[7]))
if ARGV[8] ~= '' then call('HSET', KEYS[1], 'failed', now .. ' ' .. ARGV[8]) end
save(x, 'status', status, 'ended', now)
return {1, now}
