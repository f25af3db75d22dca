-- Who is to be forgotten, and until when what they did is forgotten: one row a unit and application (null: all). What no
-- trusted key signed is a request, which waits.
-- What they do afterwards is a new start, unless `archive.after_erasure` is `refuse`: then `until` lies beyond all time.
SELECT application, unit, {until} AS until
FROM erasures
WHERE signed_by IS NOT NULL
GROUP BY application, unit
