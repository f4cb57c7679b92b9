// Package wechat asks WeChat who brought a code of a mini program: the provider "wechat-mini-program".
//
// A mini program calls wx.login, and sends the code that it gets to the token endpoint. [Provider.Exchange]
// presents it to code2Session, which answers with openid (the user at this mini program), unionid (the person,
// if the mini program belongs to an open platform account) and session_key.
//
// It promises that app secret, session key and code are in no error, log line or redirect; that every value is
// escaped; that an answer is read up to [maxAnswer] and a question takes [Config.Timeout] at most; and that
// each app is asked at the one configured host.
//
// It believes an answer by its content: WeChat serves JSON as text/plain, and leaves errcode out, sends 0, or
// sends a number as a string.
//
//	errcode                        answer                       again?
//	40029 invalid code             invalid_grant                no
//	40163 code used already        invalid_grant                no
//	40226 user is blocked          access_denied                no
//	45011 too many for this user   429 slow_down                after [userPause]
//	45009 quota of the day         503, and an alert            after [quotaPause]
//	-1    busy                     one retry, then 503          after a second
//	any other                      server_error, and an alert   when somebody has mended the configuration
//	no answer, or half of one      503                          after a second
//
// An alert is an entry of level ERROR with the message [Alert]. It names the app and WeChat's errcode and text.
//
// Sources: developers.weixin.qq.com, "code2Session" (auth.code2Session) and "wx.login"; the global return codes.
//
// # Design notes
//
// Only -1 is asked again, because only then WeChat says that it has not looked at the code. After half an
// answer the code may be used up; asking again would turn a passing fault into invalid_grant.
//
// Which mini program a client is, stands in the configuration (wechat.apps.NAME.clients). Rejected: a request
// parameter, which would let any client pass for another's mini program; and a field of the client, which
// would put half of a pair (app and its secret) into the database.
package wechat
