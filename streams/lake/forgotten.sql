-- Who asked to be forgotten, and until when what they did is forgotten: one row a unit and application (null: all).
-- What they do afterwards is a new start, unless `archive.after_erasure` is `refuse`: then `until` lies beyond all time.
SELECT application, unit, {until} AS until
FROM erasures
GROUP BY application, unit
