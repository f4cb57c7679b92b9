// Package wechattest is WeChat for tests and for "tallystick dev": code2Session as it behaves, without a
// network.
//
// It promises what a caller has to cope with: a code is good once, for one app, and for five minutes
// (40163, 40029); app and secret are checked (40013, 40125) and missing ones named (41002, 41004, 41008);
// a user may be asked for so often a minute (45011); answers are JSON served as text/plain, with errcode left
// out where all is well. [Server.Next] puts other answers before: any errcode, as a number or a string, slow
// ones, halves, nonsense, none at all.
//
// GET /mint?openid=…&unionid=…&app=… is what wx.login is on a phone: it makes a code for whom one names.
//
// It refuses nothing that WeChat would allow, and is for loopback only: whoever can reach it can sign in as
// anybody.
package wechattest
