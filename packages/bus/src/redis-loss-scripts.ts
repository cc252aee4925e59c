import { SHARED, script } from "./redis-script.ts";

/**
 * ARGV: group, consumer. Looks for what the balance of the group says is missing, and for no more than that, whoever
 * asks first. Of what was delivered and is not settled: what is on the stream and pending for nobody was taken away with
 * the consumer that had it, and is pending for the asking one again; what is not on the stream is gone, and named. Gives
 * how many messages were taken up, then from, to pairs of what was named.
 */
export const FIND_LOSSES = script(`${SHARED}
local group, consumer = ARGV[1], ARGV[2]
local state
for _, g in ipairs(groups()) do if g.name == group then state = g end end
if not state then return { '0' } end
local accepted, lost, base = count('accepted'), count(group .. ':lost'), count(group .. ':base')
local had = outcomes(group) - count(group .. ':foreign') + count(group .. ':parked')
local next = next_ordinal(state['last-delivered-id'], accepted)
local missing = (next - 1 - base) - had - lost - pending(group)
local upto = tonumber(redis.call('HGET', ledger, group .. ':settled'))
if missing <= 0 or not upto then return { '0' } end
-- Runs of ordinals that are settled or on the stream, from the first that is neither before them.
local runs, settled = { { next, next } }, settled_runs(group)
for first, last in pairs(settled) do runs[#runs + 1] = { first, last } end
local from, taken = '-', 0
repeat
  local page = redis.call('XRANGE', stream, from, state['last-delivered-id'], 'COUNT', 100)
  for _, e in ipairs(page) do
    local ordinal, n = own(e[1])
    if ordinal and ordinal > upto then
      runs[#runs + 1] = { ordinal, ordinal + n - 1 }
      if n <= missing and not settled[ordinal]
        and #redis.call('XPENDING', stream, group, e[1], e[1], 1) == 0 then
        redis.call('XCLAIM', stream, group, consumer, 0, e[1], 'FORCE', 'JUSTID')
        missing, taken = missing - n, taken + n
      end
    end
  end
  if #page > 0 then from = '(' .. page[#page][1] end
until #page < 100 or missing <= 0
table.sort(runs, function(a, b) return a[1] < b[1] end)
local found, sum = { tostring(taken) }, 0
for _, run in ipairs(runs) do
  local to = math.min(run[1] - 1, upto + missing)
  if to > upto then
    found[#found + 1] = string.format('%.0f', upto + 1)
    found[#found + 1] = string.format('%.0f', to)
    missing, sum = missing - (to - upto), sum + to - upto
    settle(group, upto + 1, to)
  end
  upto = math.max(upto, run[2])
end
if sum > 0 then redis.call('HINCRBY', ledger, group .. ':lost', sum) end
return found`);

/**
 * ARGV: everyMs, keepMs, keepMessages. Removes what every group has acknowledged, but for the last `keepMs`
 * (of these at most about `keepMessages`), at most once in `everyMs` whoever asks. Without a group nothing is removed.
 */
export const TRIM = script(`${SHARED}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now - count('trimmed') < tonumber(ARGV[1]) and now >= count('trimmed') then return -1 end
local all = groups()
if #all == 0 then return 0 end
local floor
for _, g in ipairs(all) do
  local needed = g.pending > 0 and redis.call('XPENDING', stream, g.name)[2] or g['last-delivered-id']
  if before(g['last-delivered-id'], needed) then needed = g['last-delivered-id'] end
  if not floor or before(needed, floor) then floor = needed end
end
local function ordinal_at(ms)
  return next_ordinal(string.format('%.0f-0', ms), count('accepted'))
end
local keep, upto = now - tonumber(ARGV[2]), count('accepted') - tonumber(ARGV[3])
if ordinal_at(keep) <= upto then
  local low, high = keep, now
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    if ordinal_at(middle) <= upto then low = middle else high = middle end
  end
  keep = low
end
keep = string.format('%.0f-0', keep)
if before(keep, floor) then floor = keep end
local removed = redis.call('XTRIM', stream, 'MINID', '=', floor)
-- After it: a Redis that is full refuses HSET as the first write of a script, and only trimming makes room.
redis.call('HSET', ledger, 'trimmed', string.format('%.0f', now))
return removed`);
