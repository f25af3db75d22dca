-- All interactions of one application, by id.
SELECT id FROM interactions WHERE application = $application
