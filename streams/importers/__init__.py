"""History → events: what another tool kept of an application, once, however often it is imported.

rows        files and folders of them, row by row, whatever their size
index       what one row needs of another, on disk
made        what a row becomes: events, or the named reason why not
langfuse    Langfuse's exports: observations, scores, traces
langsmith   LangSmith's runs and feedback
openai      JSON lines in OpenAI's and Anthropic's forms: batches, stored completions, chats
spans       OTLP files, Phoenix's and MLflow's spans
chats       public chat data sets: WildChat, LMSYS, ShareGPT
table       any flat rows, with a map from their columns
importer    all of a path through one of these, checked as the archiver checks it

Ids are made of the source's own, times are the source's. Start with `importer.py`.
"""
