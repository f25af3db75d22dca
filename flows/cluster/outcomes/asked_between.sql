-- The interactions of one application between two times, by id.
SELECT id FROM interactions WHERE application = $application AND time >= $first AND time < $last
