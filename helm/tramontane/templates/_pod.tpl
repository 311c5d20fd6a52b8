{{/* The pods of all three roles.
     dict "root" $ "component" "expert-worker" "shard" "a" "settings" SETTINGS "flags" LINES */}}

{{/* Seconds beyond preStop and drain: for the step that is under way and for goodbyes. */}}
{{- define "tramontane.exitMargin" -}}15{{- end -}}

{{/* drain: {preStopSeconds, timeoutSeconds, gracePeriodSeconds} */}}
{{- define "tramontane.gracePeriod" -}}
{{- if kindIs "invalid" .gracePeriodSeconds -}}
{{- add (int .preStopSeconds) (int (ceil .timeoutSeconds)) (include "tramontane.exitMargin" . | int) -}}
{{- else -}}
{{- int .gracePeriodSeconds -}}
{{- end -}}
{{- end -}}

{{- define "tramontane.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "tramontane.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.podSecurity }}
{{- range $key := list "runAsUser" "runAsGroup" "fsGroup" }}
{{- $id := index $.Values.podSecurity $key }}
{{- if not (kindIs "invalid" $id) }}
{{ $key }}: {{ int64 $id }}
{{- end }}
{{- end }}
{{- if not (kindIs "invalid" .fsGroup) }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Expert workers are ready once they have loaded, by themselves: until then the startup probe
     waits. The others are ready when they reach their workers, which no restart would bring, so
     that their startup ends with the process being there. */}}
{{- define "tramontane.probes" -}}
{{- $port := include "tramontane.healthPort" . -}}
{{- $startup := int .settings.startupTimeoutSeconds -}}
{{- with .root.Values.probes }}
startupProbe:
  grpc:
    port: {{ $port }}
    {{- if ne $.component "expert-worker" }}
    service: live
    {{- end }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: {{ max 1 (int (ceil (divf $startup 5))) }}
readinessProbe:
  grpc:
    port: {{ $port }}
  periodSeconds: {{ .readinessPeriodSeconds }}
  timeoutSeconds: {{ .readinessPeriodSeconds }}
  failureThreshold: {{ .readinessFailures }}
livenessProbe:
  grpc:
    port: {{ $port }}
    service: live
  periodSeconds: {{ .livenessPeriodSeconds }}
  timeoutSeconds: {{ .livenessTimeoutSeconds }}
  failureThreshold: {{ .livenessFailures }}
{{- end }}
{{- end -}}

{{- define "tramontane.container" -}}
{{- $settings := .settings -}}
name: {{ .component }}
image: {{ include "tramontane.image" (dict "root" .root "image" $settings.image "device" (include "tramontane.device" $settings)) | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args:
  {{- .flags | trim | nindent 2 }}
{{- with $settings.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - {name: grpc, containerPort: {{ include "tramontane.rpcPort" . }}}
  - {name: health, containerPort: {{ include "tramontane.healthPort" . }}}
  - {name: metrics, containerPort: {{ include "tramontane.metricsPort" . }}}
{{- include "tramontane.probes" . }}
{{- if gt (int $settings.drain.preStopSeconds) 0 }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ int $settings.drain.preStopSeconds }}
{{- end }}
{{- include "tramontane.resources" . }}
securityContext:
  {{- include "tramontane.containerSecurity" . | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - name: model
    mountPath: /model
    readOnly: true
  {{- include "tramontane.secretMounts" . | trim | nindent 2 }}
  {{- with $settings.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What every pod has, that of the test too. $ */}}
{{- define "tramontane.podBasics" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "tramontane.podSecurity" . | nindent 2 }}
{{- end -}}

{{- define "tramontane.podTemplate" -}}
{{- $settings := .settings -}}
metadata:
  labels:
    {{- include "tramontane.selectorLabels" . | nindent 4 }}
    app.kubernetes.io/part-of: {{ .root.Chart.Name }}
    {{- with merge (dict) (default dict $settings.podLabels) (default dict .root.Values.commonLabels) }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: {{ .component }}
    {{- with $settings.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "tramontane.serviceAccount" . }}
  {{- include "tramontane.podBasics" .root | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "tramontane.gracePeriod" $settings.drain }}
  {{- if .root.Values.model.init.containers }}
  initContainers:
    {{- include "tramontane.modelContainers" .root | nindent 4 }}
  {{- end }}
  containers:
    -
      {{- include "tramontane.container" . | nindent 6 }}
  volumes:
    -
      {{- include "tramontane.modelVolume" .root | nindent 6 }}
    {{- include "tramontane.initVolumes" .root | nindent 4 }}
    {{- include "tramontane.secretVolumes" . | trim | nindent 4 }}
    {{- with $settings.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- include "tramontane.spread" . | nindent 2 }}
  {{- include "tramontane.affinity" . | nindent 2 }}
  {{- include "tramontane.podFields" (pick $settings "dnsConfig" "nodeSelector" "priorityClassName" "runtimeClassName" "tolerations") | nindent 2 }}
{{- end -}}
