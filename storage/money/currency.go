package money

import (
	"slices"
	"strings"
)

// MaxExponent is the largest number of digits after the point that a currency may be given.
const MaxExponent = 8

// The currencies of ISO 4217, list one, by the digits of their minor units: the list of the maintenance agency (SIX) as it
// stood after the withdrawal of ANG in March 2025, funds codes included. Codes without a minor unit, such as XAU, are not
// here, and neither are withdrawn ones.
const (
	noDigits  = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
	twoDigits = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD " +
		"CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP " +
		"GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD " +
		"MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP " +
		"PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT " +
		"TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
	threeDigits = "BHD IQD JOD KWD LYD OMR TND"
	fourDigits  = "CLF UYW"
)

// Known gives the exponent of a currency, which is how many digits of its minor unit follow the point: 2 for CNY, 0 for JPY,
// 3 for KWD. It is false for a code that is not among the active ones of ISO 4217 with a minor unit.
func (c Currency) Known() (exponent int, known bool) {
	if len(c) != 3 {
		return 0, false
	}
	for _, one := range []struct {
		codes    string
		exponent int
	}{{twoDigits, 2}, {noDigits, 0}, {threeDigits, 3}, {fourDigits, 4}} {
		if slices.Contains(strings.Fields(one.codes), string(c)) {
			return one.exponent, true
		}
	}
	return 0, false
}

// Exponent is the exponent of a known currency, and 2 for any other.
func (c Currency) Exponent() int {
	if exponent, known := c.Known(); known {
		return exponent
	}
	return 2
}

// Codes are all currencies that are known, sorted.
func Codes() []string {
	all := strings.Fields(strings.Join([]string{noDigits, twoDigits, threeDigits, fourDigits}, " "))
	slices.Sort(all)
	return all
}
