-- Applies the next steps of a redrive that was committed; those that were applied are not applied again.
-- KEYS: as complete.lua, then 16 steps LIST
-- ARGV: 1 id, 2 offset ms, 3 epoch, 4 most steps to apply, 5 most needs of theirs (of one step: any number)
-- Returns {1, now, {id, 1, {ref, attempt, ...}, {ref, attempt, dispatch, ...} that were out}, 1 when more are to follow else 0} | {-1} gone | {-5} there is nothing to apply
local id, now = ARGV[1], clock(ARGV[2])
local x = execution(KEYS[1])
if not x then return {-1} end
if not x.applying or string.find(x.applying, 'hold', 1, true) or x.epoch ~= ARGV[3] or not (going(x) or x.status == 'queued') then return {-5} end
local at, total = string.match(x.applying, '^(%d+) (%d+)$')
at, total = at + 0, total + 0
local page, i, read = {}, 0, at
local function row() -- a few at a time: one may name thousands of tasks
  i = i + 1
  if i > #page then
    page, i = call('LRANGE', KEYS[16], read, read + 49), 1
    read = read + #page
  end
  return page[i]
end
local steps, needs = {}, 0
while #steps < tonumber(ARGV[4]) and at < total do
  local t, rows = step(row)
  needs = needs + #(t.n or {}) + #(t.o or {})
  if #steps > 0 and needs > tonumber(ARGV[5]) then break end
  steps[#steps + 1], at = t, at + rows
end
-- writes follow
if at == total then x.applying = nil end -- what is ready now goes out at once
local relay, out = apply(KEYS, x, id, now, steps)
if at == total then
  call('HDEL', KEYS[1], 'applying')
  call('DEL', KEYS[16])
else
  call('HSET', KEYS[1], 'applying', at .. ' ' .. total)
end
call('ZADD', KEYS[10], 'NX', now, id)
mark(KEYS[11], id, now)
save(x)
return {1, now, {id, 1, relay, out}, at < total and 1 or 0}
