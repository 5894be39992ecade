{{/* What all pods have in common. */}}

{{/* Of a pod. Takes (list root component). */}}
{{- define "neardup.pod" -}}
{{- $root := first . -}}
{{- with $root.Values -}}
serviceAccountName: {{ include "neardup.serviceAccount" $root }}
automountServiceAccountToken: false
# Kubernetes would set NEARDUP_... for each Service of the namespace whose name begins with neardup.
enableServiceLinks: false
securityContext:
  {{- toYaml .podSecurityContext | nindent 2 }}
{{- with .imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Metadata of a pod. Takes (list root component). */}}
{{- define "neardup.podMetadata" -}}
{{- $root := first . -}}
labels:
  {{- /* Not all: the version of the chart alone is no reason to replace pods. */}}
  {{- include "neardup.selector" . | nindent 2 }}
  app.kubernetes.io/part-of: neardup
  {{- if include "neardup.readsKafka" . }}
  neardup/consumes: "true"
  {{- end }}
  {{- with $root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Pods of one rollout lie apart. Takes (list root component). */}}
{{- define "neardup.spread" -}}
{{- $all := . -}}
{{- with (first .).Values.spread }}
{{- if .topologyKeys }}
topologySpreadConstraints:
  {{- range .topologyKeys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ (first $all).Values.spread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "neardup.selector" $all | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Of a container. */}}
{{- define "neardup.container" -}}
image: {{ include "neardup.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.containerSecurityContext | nindent 2 }}
{{- end }}

{{/* Probes, at the paths that consumers and the look-up service both have. Takes the name of the port.
What is started does not have to be ready: Redis may be away for longer than any start takes. */}}
{{- define "neardup.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
# It says no itself only when nothing has moved for two minutes.
livenessProbe:
  httpGet: {path: /healthz, port: {{ . }}}
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}

{{/* Volumes: the only folder to write to, and secrets by their keys. Takes (list root component). */}}
{{- define "neardup.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- with include "neardup.redis" . | fromJson }}
{{- if .existingSecret }}
{{- include "neardup.secret" (list "redis" .existingSecret .urlKey .passwordKey .caKey) }}
{{- end }}
{{- end }}
{{- $kafka := include "neardup.readsKafka" . }}
{{- with (first .).Values }}
{{- if $kafka }}
{{- with .kafka.sasl }}
{{- if .existingSecret }}
{{- include "neardup.secret" (list "kafka" .existingSecret .passwordKey) }}
{{- end }}
{{- end }}
{{- with .kafka.tls }}
{{- if .existingSecret }}
{{- include "neardup.secret" (list "kafka-tls" .existingSecret .caKey .certKey .keyKey .keyPasswordKey) }}
{{- end }}
{{- end }}
{{- end }}
{{- with .extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Takes (list name secret key...); empty keys are left out. Readable by the group of the pod alone. */}}
{{- define "neardup.secret" }}
- name: {{ index . 0 }}
  secret:
    secretName: {{ index . 1 }}
    defaultMode: 0440
    items:
      {{- range slice . 2 | compact | uniq }}
      - {key: {{ . | quote }}, path: {{ . | quote }}}
      {{- end }}
{{- end }}

{{/* Where they are mounted. Takes (list root component). */}}
{{- define "neardup.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- $redis := include "neardup.redis" . | fromJson }}
{{- $kafka := include "neardup.readsKafka" . }}
{{- with (first .).Values }}
{{- if $redis.existingSecret }}
- {name: redis, mountPath: /etc/neardup/redis, readOnly: true}
{{- end }}
{{- if and $kafka .kafka.sasl.existingSecret }}
- {name: kafka, mountPath: /etc/neardup/kafka, readOnly: true}
{{- end }}
{{- if and $kafka .kafka.tls.existingSecret }}
- {name: kafka-tls, mountPath: /etc/neardup/kafka-tls, readOnly: true}
{{- end }}
{{- with .extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Longer than the service takes to end: what is in hand, an attempt under way (15 s), two clients to close (10 s). */}}
{{- define "neardup.grace" -}}
{{- add (ceil .) 40 }}
{{- end }}

{{/* Waits in the place of a consumer that would end: without an index there is nothing to do. Where waiting does not help,
as when Redis refuses the login, it ends with an error, which Kubernetes shows. */}}
{{- define "neardup.waitForIndex" -}}
- name: wait-for-index
  {{- include "neardup.container" . | nindent 2 }}
  command: [neardup, index, wait]
  {{- include "neardup.looksForIndex" . | nindent 2 }}
{{- end }}

{{/* What a container needs to look for the index, by the login that consumers have. */}}
{{- define "neardup.looksForIndex" -}}
{{- $both := list . "test" -}}
env:
  {{- include "neardup.redisEnv" $both | nindent 2 }}
resources:
  requests: {cpu: 10m, memory: 128Mi}
  limits: {cpu: 500m, memory: 512Mi}
volumeMounts:
  {{- include "neardup.mounts" $both | nindent 2 }}
{{- end }}
