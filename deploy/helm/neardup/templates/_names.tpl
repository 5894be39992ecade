{{/* Names, labels, and the image. */}}

{{- define "neardup.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Room is left for the longest of our endings: names have 63 characters, those of a CronJob 52. */}}
{{- define "neardup.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "neardup.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "neardup.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What Deployments and Services choose pods by; it never changes. Takes (list root component). */}}
{{- define "neardup.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ include "neardup.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{/* All labels. Takes (list root component). */}}
{{- define "neardup.labels" -}}
{{- $root := first . -}}
{{ include "neardup.selector" . }}
app.kubernetes.io/part-of: neardup
app.kubernetes.io/version: {{ $root.Values.image.tag | default $root.Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "neardup.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "neardup.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "neardup.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* What a role is called: its Deployment, its component, its metrics. */}}
{{- define "neardup.component" -}}
{{- get (dict "all" "consumer" "describe" "describer" "decide" "decider") . }}
{{- end }}

{{/* Whether a component is a consumer of some role; empty for no. Takes (list root component). */}}
{{- define "neardup.readsKafka" -}}
{{- if has (last .) (list "consumer" "describer" "decider") }}yes{{ end }}
{{- end }}

{{/* The group that a role is in: members that read another topic are in one of their own. Takes (list root role). */}}
{{- define "neardup.group" -}}
{{- (first .).Values.group }}{{ ternary "-deciders" "" (eq (last .) "decide") }}
{{- end }}

{{/* The topic that a role reads. Takes (list root role). */}}
{{- define "neardup.reads" -}}
{{- $topics := (first .).Values.topics -}}
{{- ternary $topics.descriptors $topics.images (eq (last .) "decide") }}
{{- end }}

{{/* How many partitions it has. */}}
{{- define "neardup.partitions" -}}
{{- $topics := (first .).Values.topics -}}
{{- ternary $topics.descriptorsPartitions $topics.imagesPartitions (eq (last .) "decide") | int }}
{{- end }}
