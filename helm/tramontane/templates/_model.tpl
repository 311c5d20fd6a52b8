{{/* Where the checkpoint comes from. */}}

{{/* The sources that are given, separated by spaces. */}}
{{- define "tramontane.modelSources" -}}
{{- $given := list -}}
{{- with .Values.model -}}
  {{- if .pvc.claimName }}{{ $given = append $given "pvc" }}{{ end -}}
  {{- if .hostPath.path }}{{ $given = append $given "hostPath" }}{{ end -}}
  {{- if .image.reference }}{{ $given = append $given "image" }}{{ end -}}
  {{- if .init.containers }}{{ $given = append $given "init" }}{{ end -}}
{{- end -}}
{{- join " " $given -}}
{{- end -}}

{{- define "tramontane.modelDirectory" -}}
{{- with .Values.model.path }}/model/{{ trimAll "/" . }}{{ else }}/model{{ end -}}
{{- end -}}

{{- define "tramontane.modelName" -}}
{{- default (include "tramontane.modelDirectory" . | base) .Values.model.name -}}
{{- end -}}

{{- define "tramontane.modelVolume" -}}
{{- with .Values.model -}}
name: model
{{- if .pvc.claimName }}
persistentVolumeClaim:
  claimName: {{ .pvc.claimName }}
  readOnly: {{ .pvc.readOnly }}
{{- else if .hostPath.path }}
hostPath:
  path: {{ .hostPath.path | quote }}
  type: Directory
{{- else if .image.reference }}
image:
  reference: {{ .image.reference | quote }}
  pullPolicy: {{ .image.pullPolicy }}
{{- else }}
emptyDir:
  {{- with .init.sizeLimit }}
  sizeLimit: {{ . | quote }}
  {{- else }} {}
  {{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Volumes of the user's containers, beside the model's. $ */}}
{{- define "tramontane.initVolumes" -}}
{{- with .Values.model.init -}}
{{- if .containers -}}
- name: tmp
  emptyDir: {}
{{- with .volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The user's containers, restricted as the others are, with the model's volume and /tmp to write to. */}}
{{- define "tramontane.modelContainers" -}}
{{- $restricted := include "tramontane.containerSecurity" . | fromYaml -}}
{{- $containers := list -}}
{{- range .Values.model.init.containers -}}
  {{- $container := deepCopy . -}}
  {{- if not .securityContext }}{{ $_ := set $container "securityContext" $restricted }}{{ end -}}
  {{- $mounts := append (default list .volumeMounts) (dict "name" "model" "mountPath" "/model") -}}
  {{- $hasTmp := false -}}
  {{- range $mounts }}{{ if eq (trimSuffix "/" .mountPath) "/tmp" }}{{ $hasTmp = true }}{{ end }}{{ end -}}
  {{- if not $hasTmp }}{{ $mounts = append $mounts (dict "name" "tmp" "mountPath" "/tmp") }}{{ end -}}
  {{- $_ := set $container "volumeMounts" $mounts -}}
  {{- $containers = append $containers $container -}}
{{- end -}}
{{- toYaml $containers -}}
{{- end -}}
