-- The words of the interactions that are wanted, by id.
SELECT id, input_messages, output_messages, system_instructions, tool_definitions
FROM interactions
ORDER BY id
