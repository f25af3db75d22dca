-- A row of feedback, the first of its id.
INSERT OR IGNORE INTO feedback
    (id, interaction, time, arrived, unit, kind, source, value, label, text, takes, retracts, stands)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
