-- Makes tasks inside a task that is about to begin again ready to be reached again; each attempt stays as history.
-- KEYS: as complete.lua
-- ARGV: 1 id, 2 offset ms, 3 ref of the task that holds them, 4 epoch the decision rested on, then refs
-- Returns {1} | {-1} gone | {-5} the state moved on
local id, ref = ARGV[1], ARGV[3]
local x = execution(KEYS[1])
if not x then return {-1} end
local holder = record(KEYS[2], ref)
if not going(x) or x.epoch ~= ARGV[4] or not holder or holder.status ~= 'pending' then return {-5} end
local recs = {}
for i = 5, #ARGV do
  recs[i] = record(KEYS[2], ARGV[i])
  if recs[i] and recs[i].status ~= 'pending' and not recs[i].ended then return {-5} end
end
-- writes follow
for i = 5, #ARGV do
  if recs[i] and recs[i].status ~= 'pending' then reset(KEYS, x, ARGV[i], recs[i]) end
end
save(x)
call('ZADD', KEYS[10], 'NX', clock(ARGV[2]), id)
return {1}
