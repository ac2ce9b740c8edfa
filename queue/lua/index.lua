-- Brings an execution's list entries and its slot up to date, unless a later revision did.
-- KEYS: 1 indexed HASH, 2 slots ZSET, 3 waiting ZSET, 4 due ZSET, 5 list of its former status ZSET, 6 list of its status ZSET,
--       7... lists it is in whatever its status
-- ARGV: 1 id, 2 revision, 3 status, 4 former status that the caller saw, 5 offset ms, 6 workflow, 7 epoch,
--       8 wait|run|end ('' = it leaves the line unserved), 9 its session's entry of what is due ('' = none)
-- Returns {1, 0 | 1 it has its slot: begin it | 2 somebody waits for its slot} done | {2} a later revision stands
--       | {-5, former status} the former status is another
local id, rev, workflow, epoch = ARGV[1], tonumber(ARGV[2]), ARGV[6], ARGV[7]
local shown = call('HGET', KEYS[1], id)
local old, was = 0, ''
if shown then
  local r, s = string.match(shown, '^(%d+) (%S+)$')
  old, was = tonumber(r), s
end
if shown and old >= rev then return {2} end
if was ~= ARGV[4] then return {-5, was} end
local now, entry = clock(ARGV[5]), slot_entry(id, epoch, workflow)
local slot = tonumber(call('ZSCORE', KEYS[2], id) or -1)
-- writes follow
call('HSET', KEYS[1], id, rev .. ' ' .. ARGV[3])
if was ~= ARGV[3] then call('ZREM', KEYS[5], id) end
for i = 6, #KEYS do call('ZADD', KEYS[i], 0, id) end
if ARGV[9] ~= '' then call('ZREM', KEYS[4], ARGV[9]) end
local state = ARGV[8]
if state == 'run' then
  if slot < tonumber(epoch) then call('ZADD', KEYS[2], epoch, id) end -- one that came when nothing limited it
  if slot >= 0 then call('ZREM', KEYS[4], entry) end
elseif state == 'wait' then
  return {1, wait(KEYS[2], KEYS[3], KEYS[4], id, epoch, workflow, now) and 1 or 0}
elseif state == 'end' then
  if slot >= 0 and slot <= tonumber(epoch) then call('ZREM', KEYS[2], id) end
  call('ZREM', KEYS[4], entry)
  if call('EXISTS', KEYS[3]) == 1 then
    call('ZREM', KEYS[3], id .. ':' .. epoch)
    fill_at(KEYS[4], workflow, now + SLOT_GRACE)
    return {1, 2}
  end
end
return {1, 0}
