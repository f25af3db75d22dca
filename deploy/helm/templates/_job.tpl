{{- /* The template of the work pool's jobs: Prefect's own, with the home, the secrets and the locks that our runs need.
     The worker makes the pool with it where there is none; one that is there keeps its own. Words in double braces are
     Prefect's, filled in for each run. */ -}}
{{- define "flywheel.job" -}}
variables:
  type: object
  properties:
    name: {type: string, title: Name, description: Name of the job.}
    env: {type: object, title: Environment, additionalProperties: {anyOf: [{type: string}, {type: "null"}]}}
    labels: {type: object, title: Labels, additionalProperties: {type: string}}
    annotations: {type: object, title: Annotations, additionalProperties: {type: string}}
    command: {anyOf: [{type: string}, {type: "null"}], title: Command, default: null}
    namespace: {type: string, title: Namespace, default: {{ .Release.Namespace }}}
    image: {type: string, title: Image, default: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}}
    memory_request: {type: string, title: Memory, default: 1Gi}
    memory_limit: {type: string, title: Memory limit, default: 1Gi}
    cpu_request: {type: string, title: CPU, default: "1"}
    finished_job_ttl: {type: integer, title: Seconds that a finished job is kept, default: 3600}
    job_watch_timeout_seconds: {anyOf: [{type: integer}, {type: "null"}], title: Job Watch Timeout Seconds, default: null}
    pod_watch_timeout_seconds: {type: integer, title: Pod Watch Timeout Seconds, default: 300}
    stream_output: {type: boolean, title: Stream Output, default: true}
job_configuration:
  command: {{ "{{ command }}" | quote }}
  env: {{ "{{ env }}" | quote }}
  labels: {{ "{{ labels }}" | quote }}
  annotations: {{ "{{ annotations }}" | quote }}
  name: {{ "{{ name }}" | quote }}
  namespace: {{ "{{ namespace }}" | quote }}
  job_watch_timeout_seconds: {{ "{{ job_watch_timeout_seconds }}" | quote }}
  pod_watch_timeout_seconds: {{ "{{ pod_watch_timeout_seconds }}" | quote }}
  stream_output: {{ "{{ stream_output }}" | quote }}
  job_manifest:
    apiVersion: batch/v1
    kind: Job
    metadata:
      labels: {{ "{{ labels }}" | quote }}
      annotations: {{ "{{ annotations }}" | quote }}
      namespace: {{ "{{ namespace }}" | quote }}
      generateName: {{ "{{ name }}-" | quote }}
    spec:
      backoffLimit: 0
      ttlSecondsAfterFinished: {{ "{{ finished_job_ttl }}" | quote }}
      template:
        metadata: {labels: {{ include "flywheel.labels" (dict "root" . "part" "run") }}}
        spec:
          {{- include "flywheel.pod" . | nindent 10 }}
          restartPolicy: Never
          parallelism: 1
          completions: 1
          initContainers: {{- include "flywheel.secrets" (dict "root" .) | nindent 12 }}
          containers:
            - name: prefect-job
              image: {{ "{{ image }}" | quote }}
              imagePullPolicy: {{ .Values.image.pullPolicy }}
              {{- include "flywheel.locked" . | nindent 14 }}
              args: {{ "{{ command }}" | quote }}
              env:  # what Prefect and the deployment say stands before it; the last word is the chart's
                {{- include "flywheel.env" . | nindent 16 }}
                - name: FLYWHEEL_CURATE_SALT
                  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret }}, key: salt}}
                - name: FLYWHEEL_EVALUATE_API_KEYS
                  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret }}, key: api-keys, optional: true}}
              resources:
                requests: {cpu: {{ "{{ cpu_request }}" | quote }}, memory: {{ "{{ memory_request }}" | quote }}}
                limits: {memory: {{ "{{ memory_limit }}" | quote }}}
              {{- include "flywheel.mounts" . | nindent 14 }}
          volumes:
            - {name: data, emptyDir: {}}
            - {name: tmp, emptyDir: {}}
            {{- include "flywheel.given" (dict "root" . "keys" (list "decisions")) | nindent 12 }}
{{- end }}
