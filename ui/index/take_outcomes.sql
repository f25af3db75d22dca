UPDATE interaction SET outcome = j.outcome
FROM judged AS j
WHERE j.id = interaction.id AND interaction.outcome IS NOT j.outcome
