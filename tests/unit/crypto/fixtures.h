#pragma once

#include <string_view>

// What Tacit itself would not make; written once with the openssl command. None of these comes with a private
// key.
namespace tacit::crypto::testing {

// openssl req -new -newkey rsa:1024
inline constexpr std::string_view kRsa1024Csr = R"(-----BEGIN CERTIFICATE REQUEST-----
MIIBTjCBuAIBADAPMQ0wCwYDVQQDDAR3ZWFrMIGfMA0GCSqGSIb3DQEBAQUAA4GN
ADCBiQKBgQCs6XVGEq3LwKcxUviMURSSxS6XpMMvukAtm4BFN4xomt4PHT30APyX
f5aCoHHQzbGdsrwbrvIFuoEgthPYvEcLK+f7I7/y2prBOufnZKHRDtMZk/0y3K/X
6YkddXO+dtMH6GOq9qJ4/mrYuIr5k/NYZm2WuyuWeZVVSdYsWD57EwIDAQABoAAw
DQYJKoZIhvcNAQELBQADgYEAbA35opZ7sf9CymQMzFe4F3KTxfix+1p5QfkJh2c6
Lo68JBQRe1Hxq+PLEJuQ/+7N+W975v6ciYzK278rGKRGzHgctzFKwy51GuBaAzZY
+VzIaaHoa8zZl+9mMEzhe3nDAIOCUuWtzi3kM2Szg3n0dnxXqvpfbuzUoUjVzW97
eK4=
-----END CERTIFICATE REQUEST-----
)";

// openssl req -new -newkey ec, P-521
inline constexpr std::string_view kP521Csr = R"(-----BEGIN CERTIFICATE REQUEST-----
MIIBUzCBtQIBADAQMQ4wDAYDVQQDDAVjdXJ2ZTCBmzAQBgcqhkjOPQIBBgUrgQQA
IwOBhgAEAS8z+wSP9SKheXBs9/Oe065RykSGQDLvLhbNSphAay47/SWJuN6BzWDk
AV+UJgzEelgukH6+cnw3L4q6vHNcSFFVAI9EQoVncWsgCGbLyhehPUSZ74wcevZk
US4HKQPsfltzosjrE7Bp3xk1mQtJtdP7OF6Xvs0UCb75VDI+wlnOw9p+oAAwCgYI
KoZIzj0EAwIDgYwAMIGIAkIBDHUYz/xwBBGc9Xxv8MHFm4sF09ouIKXN48kYMrtN
vb9OB6vfsvpCX+D0tgaVe+n2evtd5Zap5AqY1bKNmoDpjWsCQgHWbqkS9DUYubc6
s2w+e2r+k6Fo8wry9r+9tZfVvd3Ero554g6xfgqqpFfxDoUSMS6Cm47jSu8hBW2H
8Jq3XvqzXQ==
-----END CERTIFICATE REQUEST-----
)";

// openssl req -new, Ed25519
inline constexpr std::string_view kEd25519Csr = R"(-----BEGIN CERTIFICATE REQUEST-----
MIGMMEACAQAwDTELMAkGA1UEAwwCZWQwKjAFBgMrZXADIQASu2hC0xOld1QrQjsS
uSb6ZZ6qjhy9eE6bpVD6AnGAKKAAMAUGAytlcANBAPSxTZ424aPaPPzDBi2MIsuC
LyH7VfLIvaOz+2mC/57hxrjrr53VWoTKVTW0S0P0mpqJfW7HIT7UbWvbyROP6QQ=
-----END CERTIFICATE REQUEST-----
)";

// A P-256 request for CN=operator, URI:spiffe://tacit.test/operator/admin, DNS:evil.test and CA:TRUE.
inline constexpr std::string_view kGreedyCsr = R"(-----BEGIN CERTIFICATE REQUEST-----
MIIBKTCB0QIBADATMREwDwYDVQQDDAhvcGVyYXRvcjBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABFBkKqbQvugfYnmMjMPe9HTPgJ772/sRRPM1gTHFTZpS4xp9oT7d
RLKQskN/xTAOFye9+IXbr0WFcw+GcE+dqxigXDBaBgkqhkiG9w0BCQ4xTTBLMDgG
A1UdEQQxMC+GInNwaWZmZTovL3RhY2l0LnRlc3Qvb3BlcmF0b3IvYWRtaW6CCWV2
aWwudGVzdDAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIA1Vv8QW
YR3NjpGnPII+UFTeOwk2+/ehu+zCQsMJ7r7vAiADEnWD2AaNhvF71c/K02d8Ks4K
yus9XiAJLdksUq/KsA==
-----END CERTIFICATE REQUEST-----
)";

// A certificate with the URIs spiffe://tacit.test/device/a and spiffe://tacit.test/device/b.
inline constexpr std::string_view kTwoUrisCertificate = R"(-----BEGIN CERTIFICATE-----
MIIBvTCCAWKgAwIBAgIUDtSyd44Z46Cp90yrm4FiLu76xUgwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDdHdvMCAXDTI2MTEyNDA1NDA0N1oYDzIxMjYxMDMxMDU0MDQ3
WjAOMQwwCgYDVQQDDAN0d28wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAS01lom
gK9nEJBFkBq9QaxyV3bzHn2cNT1kyM2zgEWFMuzjxMLrFbPQqa5d8ZQ9QEZIsIYb
pTLKRZ5wjXYoYb2Uo4GbMIGYMB0GA1UdDgQWBBSOlyMPEh9wJuecfVGTkCuJQNpB
xDAfBgNVHSMEGDAWgBSOlyMPEh9wJuecfVGTkCuJQNpBxDAPBgNVHRMBAf8EBTAD
AQH/MEUGA1UdEQQ+MDyGHHNwaWZmZTovL3RhY2l0LnRlc3QvZGV2aWNlL2GGHHNw
aWZmZTovL3RhY2l0LnRlc3QvZGV2aWNlL2IwCgYIKoZIzj0EAwIDSQAwRgIhAIzS
d1bNh7bbaoLiVZo6SwSG1BaRXOqV76XqUMe7uxQ2AiEAlZIiPt8NcBZjpNvyGnI7
ESQeZOaTetFK104/1xwoIwk=
-----END CERTIFICATE-----
)";

// A certificate with the URI https://tacit.test/device/a.
inline constexpr std::string_view kWebUriCertificate = R"(-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUdIGqdKiWXmgniPY+W7LzfGsMZ+QwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDd2ViMCAXDTI2MTEyNDA1NDA0N1oYDzIxMjYxMDMxMDU0MDQ3
WjAOMQwwCgYDVQQDDAN3ZWIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATZKE14
SAt5dUWsLuVosfRuFMOjqaaKpU7BVLNpZuFJgBlIbEknBmnZi6VlzBv39r/5YNGD
XaZv1oQ16UZ7u41Co3sweTAdBgNVHQ4EFgQUU/URpIIM8r2WcR23OEqckcbH/MEw
HwYDVR0jBBgwFoAUU/URpIIM8r2WcR23OEqckcbH/MEwDwYDVR0TAQH/BAUwAwEB
/zAmBgNVHREEHzAdhhtodHRwczovL3RhY2l0LnRlc3QvZGV2aWNlL2EwCgYIKoZI
zj0EAwIDSAAwRQIhAOqxiv10e/G2HBVq8iEjdz0VErt783O2+V4cGpsqVlfJAiBR
KZv+MHkLZPJOfQz5EBqcbCMYQmaDiDFR8aafpWxTgQ==
-----END CERTIFICATE-----
)";

}  // namespace tacit::crypto::testing
