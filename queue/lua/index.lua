-- Brings an execution's list entries and its slot up to date, unless a later revision did.
-- KEYS: 1 indexed HASH, 2 slots ZSET, 3 waiting ZSET, 4 due ZSET, 5 failing HASH, 6 superseded HASH, 7 failures ZSET, 8 list of its
--       former status ZSET, 9 list of its status ZSET, 10... lists it is in whatever its status
-- ARGV: 1 id, 2 revision, 3 status, 4 former status that the caller saw, 5 offset ms, 6 workflow, 7 epoch,
--       8 wait|run|end ('' = it leaves the line unserved), 9 its session's entry of what is due ('' = none),
--       10 when it failed last, ms ('' = it never did), 11 1 = that is how it ended, then of each cause: fingerprint, type, task, code, message
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
if was ~= ARGV[3] then call('ZREM', KEYS[8], id) end
for i = 9, #KEYS do call('ZADD', KEYS[i], '0', id) end
if ARGV[9] ~= '' then call('ZREM', KEYS[4], ARGV[9]) end
if ARGV[10] ~= '' then
  local causes = {}
  for i = 12, #ARGV, 5 do
    causes[#causes + 1] = {fingerprint = ARGV[i], type = ARGV[i + 1], task = ARGV[i + 2], code = ARGV[i + 3], message = ARGV[i + 4]}
  end
  file_failure(KEYS[5], KEYS[6], KEYS[7], id, ARGV[6], tonumber(ARGV[10]), ARGV[11] == '1', causes)
end
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
