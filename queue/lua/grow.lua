-- Writes a part of the tasks inside a task that is about to begin.
-- KEYS: as complete.lua
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 epoch the decision rested on, 5 part (see lib_grow)
-- Returns {1} | {-1} gone | {-5} the state moved on | {-9} the values of the execution would be too large
local id, ref = ARGV[1], ARGV[3]
local x = execution(KEYS[1])
if not x then return {-1} end
local rec = record(KEYS[2], ref)
if not going(x) or x.epoch ~= ARGV[4] or not rec and ref ~= 'on_failure' or rec and rec.status ~= 'pending' then return {-5} end
if not fits(keys(KEYS), 5, 0) then return {-9} end
-- writes follow
grow(keys(KEYS), x, ref, 5)
save(x)
call('ZADD', KEYS[10], 'NX', clock(ARGV[2]), id)
return {1}
