{{/* The pod of `helm test`. */}}

{{/* "true" where it has what the API asks of a client. */}}
{{- define "tramontane.canTest" -}}
{{- $lacksToken := and .Values.api.tokensSecret.name (not .Values.helmTest.tokenSecret.name) -}}
{{- $lacksCertificate := and .Values.api.tls.clientCaSecret (not .Values.helmTest.clientCertSecret) -}}
{{- if and .Values.helmTest.enabled (not $lacksToken) (not $lacksCertificate) -}}true{{- end -}}
{{- end -}}

{{/* Name and key of the Secret with the CA of the API's certificate; {} where the image's are used. */}}
{{- define "tramontane.testCa" -}}
{{- if .Values.helmTest.caSecret.name -}}
{{- toJson .Values.helmTest.caSecret -}}
{{- else if .Values.api.tls.secretName -}}
{}
{{- else -}}
{{- dict "name" (include "tramontane.tlsSecret" (dict "root" . "component" "coordinator")) "key" "ca.crt" | toJson -}}
{{- end -}}
{{- end -}}

{{- define "tramontane.testFlags" -}}
{{- $test := .Values.helmTest -}}
- {{ printf "--target=%s:%v" (include "tramontane.fullname" .) (int .Values.coordinator.service.port) }}
- {{ printf "--prompt=%s" $test.prompt | quote }}
- --max_tokens={{ int $test.maxTokens }}
- --timeout_s={{ int $test.timeoutSeconds }}
- --temperature=0
- --ignore_eos
- --json
{{- if eq "true" (include "tramontane.apiHasTls" .) }}
- --tls
{{- with include "tramontane.testCa" . | fromJson }}
- --tls_ca=/etc/tramontane/ca/ca.crt
{{- end }}
{{- if $test.clientCertSecret }}
- --tls_cert=/etc/tramontane/client/tls.crt
- --tls_key=/etc/tramontane/client/tls.key
{{- end }}
{{- end }}
{{- if $test.tokenSecret.name }}
- --api_token_file=/etc/tramontane/token/token
{{- if ne "true" (include "tramontane.apiHasTls" .) }}
- --allow_plaintext_beyond_loopback
{{- end }}
{{- end }}
{{- end -}}

{{- define "tramontane.testVolumes" -}}
{{- $test := .Values.helmTest -}}
{{- if eq "true" (include "tramontane.apiHasTls" .) }}
{{- with include "tramontane.testCa" . | fromJson }}
- name: ca
  secret:
    secretName: {{ .name }}
    {{- include "tramontane.secretMode" $ }}
    items:
      - {key: {{ .key | quote }}, path: ca.crt}
{{- end }}
{{- with $test.clientCertSecret }}
- name: client
  secret:
    secretName: {{ . }}
    {{- include "tramontane.secretMode" $ }}
{{- end }}
{{- end }}
{{- with $test.tokenSecret }}
{{- if .name }}
- name: token
  secret:
    secretName: {{ .name }}
    {{- include "tramontane.secretMode" $ }}
    items:
      - {key: {{ .key | quote }}, path: token}
{{- end }}
{{- end }}
{{- end -}}
