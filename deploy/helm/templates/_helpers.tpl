{{- define "flywheel.labels" -}}
{{ dict "app.kubernetes.io/name" "llm-flywheel" "app.kubernetes.io/instance" .root.Release.Name "app.kubernetes.io/component" .part | toJson }}
{{- end }}

{{- define "flywheel.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "flywheel.pod" -}}
automountServiceAccountToken: false
terminationGracePeriodSeconds: 60
securityContext: {runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000, seccompProfile: {type: RuntimeDefault}}
{{- end }}

{{- define "flywheel.locked" -}}
securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
{{- end }}

{{- /* What every process is told; secrets by reference. */ -}}
{{- define "flywheel.env" -}}
- {name: KAFKA_BOOTSTRAP_SERVERS, value: {{ .Values.kafka.bootstrapServers | quote }}}
- {name: FLYWHEEL_APPLICATION, value: {{ .Values.application | quote }}}
- {name: FLYWHEEL_LAKE, value: {{ .Values.lake | quote }}}
{{- with .Values.store }}
- {name: FLYWHEEL_STORE, value: {{ . | quote }}}
{{- end }}
- {name: FLYWHEEL_HOME, value: /data}
- {name: FLYWHEEL_TRUSTED_KEYS, value: {{ .Values.trustedKeys | toJson | quote }}}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}}
{{- end }}
- name: FLYWHEEL_STORAGE_OPTIONS
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret }}, key: storage-options, optional: true}}
- name: FLYWHEEL_KAFKA_CLIENT
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret }}, key: kafka-client, optional: true}}
{{- end }}

{{- define "flywheel.prefect" -}}
- {name: PREFECT_API_URL, value: {{ .Values.prefect.apiUrl | quote }}}
- {name: DO_NOT_TRACK, value: "1"}
- name: PREFECT_API_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret }}, key: prefect-api-key, optional: true}}
- name: PREFECT_API_AUTH_STRING
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret }}, key: prefect-auth-string, optional: true}}
{{- end }}

{{- /* Puts the named files of the Secret into the home with mode 0600: a mounted Secret can be read by its group, and
     the flywheel takes no key that another account could have read. */ -}}
{{- define "flywheel.secrets" -}}
- name: secrets
  {{- include "flywheel.image" .root | nindent 2 }}
  {{- include "flywheel.locked" .root | nindent 2 }}
  command: [sh, -c, "umask 077 && mkdir -p /data/secrets && install -m 0600 -t /data/secrets /given/*"]
  resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 32Mi}}
  volumeMounts:
    - {name: data, mountPath: /data}
    - {name: given, mountPath: /given, readOnly: true}
{{- end }}

{{- define "flywheel.given" -}}
- name: given
  secret:
    secretName: {{ .root.Values.existingSecret }}
    items: [{{ range .keys }}{key: {{ . }}, path: {{ . }}},{{ end }}]
{{- end }}

{{- define "flywheel.mounts" -}}
volumeMounts:
  - {name: data, mountPath: /data}
  - {name: tmp, mountPath: /tmp}
{{- end }}
