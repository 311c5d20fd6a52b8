{{/* Names and labels. Limits of length are checked in _checks.tpl. */}}

{{- define "tramontane.fullname" -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $chart .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $chart -}}
{{- end -}}
{{- end -}}

{{/* dict "root" $ "component" "coordinator" "shard" "": of pods, and what selects them. */}}
{{- define "tramontane.selectorLabels" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .shard }}
tramontane/shard: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The same dict, or with an empty component: of every object. */}}
{{- define "tramontane.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .shard }}
tramontane/shard: {{ . | quote }}
{{- end }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata of an object: dict "root" $ "name" NAME "component" "…" "shard" "". */}}
{{- define "tramontane.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "tramontane.labels" . | nindent 2 }}
{{- end -}}

{{/* The name of a role's workload: dict "root" $ "component" "expert-worker" "shard" "a". */}}
{{- define "tramontane.workload" -}}
{{- $name := include "tramontane.fullname" .root -}}
{{- if eq .component "coordinator" -}}
{{- printf "%s-coordinator" $name -}}
{{- else if eq .component "attention-worker" -}}
{{- printf "%s-attention" $name -}}
{{- else -}}
{{- printf "%s-expert-%s" $name .shard -}}
{{- end -}}
{{- end -}}

{{/* What stands for the workers of all shards. */}}
{{- define "tramontane.allExperts" -}}
{{- printf "%s-experts" (include "tramontane.fullname" .) -}}
{{- end -}}

{{- define "tramontane.headlessApi" -}}
{{- printf "%s-headless" (include "tramontane.fullname" .) -}}
{{- end -}}

{{/* The account of a role: dict "root" $ "component" "coordinator". */}}
{{- define "tramontane.serviceAccount" -}}
{{- $given := index .root.Values.serviceAccounts.names (include "tramontane.roleKey" .) -}}
{{- if $given -}}
{{ $given }}
{{- else if .root.Values.serviceAccounts.create -}}
{{- printf "%s-%s" (include "tramontane.fullname" .root) .component -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* The device that a container computes on: "cpu", "cuda:0"; empty: the program's default, the CPU.
     Its settings. */}}
{{- define "tramontane.device" -}}
{{- if .device -}}{{ .device }}{{- else if gt (int .gpus) 0 -}}cuda:0{{- end -}}
{{- end -}}

{{/* The tag of images that have none of their own. dict "root" $ "device" "cuda:0"; no device: the CPU */}}
{{- define "tramontane.tag" -}}
{{- $tag := default .root.Chart.AppVersion .root.Values.image.tag -}}
{{- if hasPrefix "cuda" (default "" .device) -}}
{{- default (printf "%s-cuda" (trimSuffix "-cuda" $tag)) .root.Values.image.cudaTag -}}
{{- else -}}
{{- $tag -}}
{{- end -}}
{{- end -}}

{{/* dict "root" $ "image" IMAGE "device" "cuda:0"; no device: the CPU */}}
{{- define "tramontane.image" -}}
{{- with default .root.Values.image.registry (.root.Values.global).imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest -}}
@{{ .image.digest }}
{{- else -}}
:{{ default (include "tramontane.tag" .) .image.tag }}
{{- end -}}
{{- end -}}
